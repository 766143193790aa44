//! The model as the checker sees it: initial states, the steps that are possible in a state, properties.

use std::sync::Arc;

use stateright::{Model, Property};

use crate::bounds::{Bounds, End};
use crate::coordinator::{Reply, Stage};
use crate::mutation::Mutation;
use crate::promises::{Promise, charged_within_bounds, everything_in_its_place, unfrozen_once};
use crate::view::View;
use crate::witness::{
    WITNESSES, cancel_ends_a_run, finish_wins_over_cancel, retry_succeeds, returned_hold_completes,
};
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
    GiveBackUntold { c: usize },
    Adopt { a: usize },
    ReadForRenewal { c: usize, a: usize },
    Renew { c: usize, reply: Reply },
    ReadForRequest { c: usize, message: Message },
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
            Action::GiveBackUntold { c } => stage.give_back_untold(c),
            Action::Adopt { a } => stage.adopt(a),
            Action::ReadForRenewal { c, a } => stage.read_for_renewal(c, a),
            Action::Renew { c, reply } => stage.renew(c, reply),
            Action::ReadForRequest { c, message } => stage.read_for_request(c, &message),
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
        let mut properties = promises();
        if self.bounds.witnesses {
            properties.extend(witnesses());
        }
        properties
    }
}

impl PoolModel {
    fn begin_work(&self, c: usize, world: &World, actions: &mut Vec<Action>) {
        let ttl = self.bounds.ttl;
        for (a, agent) in world.agents.iter().enumerate() {
            match &agent.lease {
                None => actions.push(Action::Take { c, a }),
                Some(lease) if !lease.ended && lease.fence_at < world.now + ttl => {
                    actions.push(Action::ReadForRenewal { c, a });
                }
                Some(_) => {}
            }
        }
        for message in &world.wire {
            let message = message.clone();
            actions.push(Action::ReadForRequest { c, message });
        }
        actions.push(Action::ReadBeat { c });
        for job in 0..self.bounds.jobs {
            actions.push(Action::ReadHold { c, job });
        }
    }

    fn continue_work(&self, c: usize, work: &Work, actions: &mut Vec<Action>) {
        let answered = |step: fn(usize, Reply) -> Action| {
            let lost = self.bounds.lost_replies.then(|| step(c, Reply::Lost));
            [step(c, Reply::Arrives)].into_iter().chain(lost)
        };
        match work {
            Work::Idle => return,
            Work::Taken { .. } => actions.extend(answered(|c, reply| Action::Claim { c, reply })),
            Work::Untold { .. } => actions.push(Action::GiveBackUntold { c }),
            Work::Renewing { .. } => actions.extend(answered(|c, reply| Action::Renew { c, reply })),
            Work::Handling { .. } => actions.extend(answered(|c, reply| Action::Handle { c, reply })),
            Work::BeatRead { .. } => actions.push(Action::Beat { c }),
            Work::Reaping { .. } => actions.push(Action::Reap { c }),
            Work::Returning { .. } => actions.push(Action::EndHold { c }),
        }
        actions.push(Action::Crash { c });
    }

    fn agents_act(&self, world: &World, actions: &mut Vec<Action>) {
        for (a, agent) in world.agents.iter().enumerate() {
            if agent.lease.is_none() {
                actions.push(Action::Adopt { a });
                continue;
            }
            let ends = self.bounds.ends.iter().chain([&End::Cancelled]);
            actions.extend(ends.map(|end| Action::End { a, end: *end }));
            if world.left.give_backs > 0 {
                actions.push(Action::GiveBack { a });
            }
            if world.left.deaths > 0 {
                actions.push(Action::Die { a });
            }
        }
    }
}

fn promises() -> Vec<Property<PoolModel>> {
    type Condition = fn(&PoolModel, &World) -> bool;
    let kept: [(Promise, Condition); 10] = [
        (Promise::LiveLeaseOnly, |_, w| w.keeps(Promise::LiveLeaseOnly)),
        (Promise::AttemptsRiseByOne, |_, w| {
            w.keeps(Promise::AttemptsRiseByOne)
        }),
        (Promise::TerminalStaysTerminal, |_, w| {
            w.keeps(Promise::TerminalStaysTerminal)
        }),
        (Promise::ChargedWithinBounds, |_, w| charged_within_bounds(w)),
        (Promise::EverythingInItsPlace, |_, w| everything_in_its_place(w)),
        (Promise::FinishesStay, |_, w| w.keeps(Promise::FinishesStay)),
        (Promise::LeasesEndByTakingOrByTheirOwn, |_, w| {
            w.keeps(Promise::LeasesEndByTakingOrByTheirOwn)
        }),
        (Promise::GraceBeforeTaking, |_, w| {
            w.keeps(Promise::GraceBeforeTaking)
        }),
        (Promise::CancelledIsNotQueuedAgain, |_, w| {
            w.keeps(Promise::CancelledIsNotQueuedAgain)
        }),
        (Promise::UnfrozenOnce, |_, w| unfrozen_once(w)),
    ];
    kept.into_iter()
        .map(|(promise, condition)| Property::always(promise.as_str(), condition))
        .collect()
}

fn witnesses() -> [Property<PoolModel>; 5] {
    [
        Property::sometimes(WITNESSES[0], |_, w| retry_succeeds(w)),
        Property::sometimes(WITNESSES[1], |_, w| cancel_ends_a_run(w)),
        Property::sometimes(WITNESSES[2], |_, w| finish_wins_over_cancel(w)),
        Property::sometimes(WITNESSES[3], |_, w| returned_hold_completes(w)),
        Property::sometimes(WITNESSES[4], |_, w: &World| w.ghost.saved),
    ]
}
