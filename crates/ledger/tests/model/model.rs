//! The model as the checker sees it: initial states, the steps that are possible in a state, properties.

use std::sync::Arc;

use stateright::{Model, Property};

use crate::bounds::{Bounds, End};
use crate::coordinator::{Reply, Stage};
use crate::mutation::Mutation;
use crate::promises::{
    Promise, WITNESSES, charged_within_bounds, everything_in_its_place, unfrozen_once,
};
use crate::view::View;
use crate::world::{Message, Work, World};

/// A pool within bounds, perhaps with a guard missing.
#[derive(Debug, Clone)]
pub(crate) struct PoolModel {
    pub(crate) bounds: Bounds,
    pub(crate) mutation: Option<Mutation>,
}

/// One step. `c` is a coordinator, `a` an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    Take { c: usize, a: usize },
    Claim { c: usize, reply: Reply },
    Adopt { a: usize },
    ReadForRenewal { c: usize, a: usize, reply: Reply },
    Renew { c: usize, reply: Reply },
    ReadForRequest { c: usize, message: Message, reply: Reply },
    Handle { c: usize, reply: Reply },
    ReadBeat { c: usize },
    Beat { c: usize },
    Reap { c: usize },
    ReadHold { c: usize, job: usize },
    EndHold { c: usize },
    Crash { c: usize },
    End { a: usize, end: End },
    GiveBack { a: usize },
    Die { a: usize },
}

impl Model for PoolModel {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.bounds)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        let mut idle = None;
        for (c, work) in world.coordinators.iter().enumerate() {
            match work {
                Work::Idle => idle = idle.or(Some(c)),
                busy => self.continue_work(c, busy, actions),
            }
        }
        // Idle coordinators are all alike, so only the first one begins something.
        if let Some(c) = idle {
            self.begin_work(c, world, actions);
        }
        self.agents_act(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut stage = Stage {
            world: world.clone(),
            bounds: &self.bounds,
            mutation: self.mutation,
        };
        match action {
            Action::Tick => {
                stage.world.now += 1;
                Some(())
            }
            Action::Take { c, a } => stage.take(c, a),
            Action::Claim { c, reply } => stage.claim(c, reply),
            Action::Adopt { a } => stage.adopt(a),
            Action::ReadForRenewal { c, a, reply } => stage.read_for_renewal(c, a, reply),
            Action::Renew { c, reply } => stage.renew(c, reply),
            Action::ReadForRequest { c, message, reply } => stage.read_for_request(c, &message, reply),
            Action::Handle { c, reply } => stage.handle(c, reply),
            Action::ReadBeat { c } => stage.read_beat(c),
            Action::Beat { c } => stage.beat(c),
            Action::Reap { c } => stage.reap(c),
            Action::ReadHold { c, job } => stage.read_hold(c, job),
            Action::EndHold { c } => stage.end_hold(c),
            Action::Crash { c } => {
                stage.world.coordinators[c] = Work::Idle;
                Some(())
            }
            Action::End { a, end } => stage.end(a, end),
            Action::GiveBack { a } => stage.give_back(a),
            Action::Die { a } => stage.die(a),
        }?;
        let mut next = stage.world;
        next.view = Arc::new(View::of(&next, &self.bounds));
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            step(Promise::LiveLeaseOnly, |world| kept(world, Promise::LiveLeaseOnly)),
            step(Promise::AttemptsRiseByOne, |world| {
                kept(world, Promise::AttemptsRiseByOne)
            }),
        ];
        properties.clear();
        properties
    }
}
