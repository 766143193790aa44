//! Gives leases to agents that ask: parks their long polls and serves many of them with one take and one commit.
//!
//! Owns the parked claims. Woken by a hint that a lane has work, by a new claim, and once a second in any case. While a
//! pass is under way the mailbox fills, and all that has gathered is served by the next pass together. Its death
//! loses nothing: whoever was parked asks again, and what was claimed but not told is found by the agent's next claim.

mod wave;

use std::sync::Arc;
use std::time::Duration;

use domain::AgentRef;
use domain::plan::Seeker;
use ledger::{Claimant, Claims, Granted, LedgerError, Unwanted};
use supervision::{Actor, ChildSpec, Ctx, Failure, Reply};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::coordinator::Coordinator;
use crate::fail_points;
use crate::jitter;

/// Time between two looks when no hint comes, at most: a lost hint makes a job no later than a second, its claim included.
const LOOK_EVERY: Duration = Duration::from_millis(800);
/// Rounds of one pass. Jobs that reserve resources are taken one at a time.
const ROUNDS_MAX: usize = 64;

pub(crate) enum Msg {
    /// An agent asks for leases.
    Claim(Box<Claim>),
    /// Serve who waits.
    Pass,
    /// A lane may have work.
    Work,
    /// An agent's drain intent may have changed.
    AgentsChanged,
    /// It is time to look again, or somebody's time is over.
    Tick,
    /// Leases whose agent has gone away were returned, as far as possible.
    GivenBack,
    /// Jobs that were taken for an agent that drains are there for others again, as far as possible.
    PutBack,
}

/// A claim that waits to be served.
pub(crate) struct Claim {
    /// Who asks.
    pub(crate) agent: AgentRef,
    /// What it offers and wants.
    pub(crate) seeker: Seeker,
    /// When to answer, with nothing if need be.
    pub(crate) deadline: Instant,
    /// Says whether a drain intent may have changed since the one in `seeker` was read.
    pub(crate) changes: watch::Receiver<u64>,
    /// Leases, possibly none, and whether the agent is to drain.
    pub(crate) reply: Reply<Answer>,
}

/// What a claim gets.
pub(crate) struct Answer {
    /// The leases.
    pub(crate) leases: Vec<Granted>,
    /// The agent is to take no more jobs.
    pub(crate) draining: bool,
}

pub(crate) struct Dispatch {
    coordinator: Arc<Coordinator>,
}

#[derive(Default)]
pub(crate) struct State {
    waiting: Vec<Waiting>,
    pass_is_due: bool,
    /// Drain intents may have changed since those of the claims were read.
    intents_are_old: bool,
}

struct Waiting {
    claim: Claim,
    leases: Vec<Granted>,
}

pub fn child_spec(coordinator: &Arc<Coordinator>) -> ChildSpec {
    let handle = coordinator.dispatch.clone();
    let coordinator = Arc::clone(coordinator);
    ChildSpec::worker("dispatch", &handle, move || Dispatch {
        coordinator: Arc::clone(&coordinator),
    })
}

impl Actor for Dispatch {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        self.await_work(ctx)?;
        self.await_agents(ctx)?;
        self.coordinator.metrics.claims_parked(0);
        ctx.tell_self(Msg::Tick);
        Ok(State::default())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Claim(claim) => {
                on_claim(*claim, state);
                self.coordinator.metrics.claims_parked(state.waiting.len());
                due(ctx, state);
            }
            Msg::Work => {
                self.await_work(ctx)?;
                due(ctx, state);
            }
            Msg::AgentsChanged => {
                self.await_agents(ctx)?;
                state.intents_are_old = true;
                due(ctx, state);
            }
            Msg::Pass => self.on_pass(ctx, state).await,
            Msg::Tick if fail_points::is_on(fail_points::NO_REPOLL) => self.rest(ctx, &mut state.waiting),
            Msg::Tick | Msg::PutBack => due(ctx, state),
            Msg::GivenBack => {}
        }
        Ok(())
    }
}

/// Asks for a pass behind everything that is in the mailbox now.
fn due(ctx: &Ctx<Msg>, state: &mut State) {
    if !state.pass_is_due {
        state.pass_is_due = true;
        ctx.tell_self(Msg::Pass);
    }
}

fn on_claim(claim: Claim, state: &mut State) {
    // The change itself may have been handled before this claim came, so nobody would look again.
    state.intents_are_old |= claim.changes.has_changed().unwrap_or(true);
    state.waiting.push(Waiting {
        claim,
        leases: Vec::new(),
    });
}

/// How a pass ended.
enum Served {
    /// Nothing fits any more.
    All,
    /// There may be more; others come first.
    ForNow,
}

impl Dispatch {
    fn await_work(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        let mut lanes = self.coordinator.signals.lanes();
        ctx.task(async move {
            // The sender lives as long as the coordinator.
            lanes.changed().await.ok();
            Msg::Work
        })?;
        Ok(())
    }

    fn await_agents(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        let mut agents = self.coordinator.signals.agents();
        ctx.task(async move {
            agents.changed().await.ok();
            Msg::AgentsChanged
        })?;
        Ok(())
    }

    async fn on_pass(&self, ctx: &Ctx<Msg>, state: &mut State) {
        state.pass_is_due = false;
        state.waiting.retain(|waiting| !waiting.claim.reply.is_closed());
        self.coordinator.metrics.claims_parked(state.waiting.len());
        if !self.coordinator.signals.is_open() {
            // Nothing more is given out. Who asks again hears why, and goes elsewhere.
            let now = Instant::now();
            let waiting = state.waiting.iter_mut();
            waiting.for_each(|one| one.claim.deadline = now);
        } else if !state.waiting.is_empty() {
            match self.coordinator.in_time(self.serve(ctx, state)).await {
                Ok(Served::All) => {}
                Ok(Served::ForNow) => due(ctx, state),
                Err(error) => {
                    self.coordinator.complain(
                        "waiting agents could not be served; the next look tries again",
                        &error,
                    );
                }
            }
        }
        self.rest(ctx, &mut state.waiting);
    }

    /// Answers who is to be answered, and looks again in a while.
    fn rest(&self, ctx: &Ctx<Msg>, waiting: &mut Vec<Waiting>) {
        self.answer(ctx, waiting);
        let next = waiting.iter().map(|waiting| waiting.claim.deadline).min();
        let look = jitter::within(LOOK_EVERY);
        let pause = next.map_or(look, |at| at.saturating_duration_since(Instant::now()).min(look));
        ctx.tick_after(pause, Msg::Tick);
    }

    /// Takes and claims for everybody at once, until nothing fits any more. What was claimed when it breaks off stands
    /// with those that wait.
    async fn serve(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<Served, LedgerError> {
        if state.intents_are_old {
            self.read_drain_intents(&mut state.waiting).await?;
            state.intents_are_old = false;
        }
        let (waiting, mut wave) = (&mut state.waiting, wave::FIRST);
        for _ in 0..ROUNDS_MAX {
            let lanes = self.coordinator.ledger.lanes().await?;
            let seekers: Vec<&Seeker> = waiting.iter().map(|one| &one.claim.seeker).collect();
            let demands = wave::demands(&seekers, &lanes, wave);
            if demands.is_empty() {
                return Ok(Served::All);
            }
            let (asked, wanted) = (demands.len(), demands.iter().map(|(_, demand)| demand.n).sum());
            let (who, claimants): (Vec<usize>, Vec<Claimant>) = demands
                .into_iter()
                .filter_map(|(index, demand)| {
                    let agent = waiting.get(index)?.claim.agent.clone();
                    Some((index, Claimant { agent, demand }))
                })
                .unzip();
            let taken = self.claim(ctx, waiting, &who, &claimants).await?;
            if waiting.iter().all(Waiting::has_all) {
                return Ok(Served::All);
            }
            match wave::next(wave, asked, wanted, taken) {
                Some(next) => wave = next,
                None => return Ok(Served::All),
            }
        }
        Ok(Served::ForNow)
    }

    /// Claims, a take at a time, each of whose leases are with those that wait before the next. Returns how many jobs
    /// were taken for that, also those that turned out to be nobody's.
    async fn claim(
        &self,
        ctx: &Ctx<Msg>,
        waiting: &mut [Waiting],
        who: &[usize],
        claimants: &[Claimant],
    ) -> Result<usize, LedgerError> {
        let (mut who, mut claimants, mut n_taken) = (who.iter(), claimants, 0);
        while !claimants.is_empty() {
            let ttl = self.coordinator.config.lease_ttl;
            let claims = self.coordinator.ledger.claim(claimants, ttl).await?;
            fail::fail_point!(crate::fail_points::CLAIMED);
            let Claims {
                claimed,
                taken,
                unwanted,
            } = claims;
            n_taken += taken;
            claimants = claimants.get(claimed.len()..).unwrap_or_default();
            for (claimed, index) in claimed.into_iter().zip(who.by_ref()) {
                if let Some(one) = waiting.get_mut(*index) {
                    one.claim.seeker.offer.draining |= claimed.draining;
                    one.take(claimed.leases);
                }
            }
            self.put_back(ctx, unwanted);
        }
        Ok(n_taken)
    }

    /// Puts back what was taken for agents that drain, beside the pass, and has the others looked after then: this pass
    /// does not see it in the lane.
    fn put_back(&self, ctx: &Ctx<Msg>, unwanted: Unwanted) {
        if unwanted.is_empty() {
            return;
        }
        let coordinator = Arc::clone(&self.coordinator);
        let work = async move {
            coordinator.ledger.put_back(unwanted).await;
            Msg::PutBack
        };
        if let Err(error) = ctx.task(work) {
            tracing::warn!(%error, "jobs that were taken for a draining agent wait for the reaper");
        }
    }

    /// Answers those who got something, and those whose time is over.
    fn answer(&self, ctx: &Ctx<Msg>, waiting: &mut Vec<Waiting>) {
        let now = Instant::now();
        let over = |one: &mut Waiting| {
            !one.leases.is_empty() || one.claim.deadline <= now || one.claim.seeker.offer.draining
        };
        for one in waiting.extract_if(.., over) {
            let draining = one.claim.seeker.offer.draining;
            self.coordinator.metrics.granted(one.leases.len());
            let undelivered = one.leases.clone();
            let heard = one.claim.reply.send(Answer {
                leases: one.leases,
                draining,
            });
            if !heard && !undelivered.is_empty() {
                self.on_undelivered(ctx, undelivered);
            }
        }
        self.coordinator.metrics.claims_parked(waiting.len());
    }

    /// Returns leases whose agent has gone away, except those that it was told of since, by whatever coordinator. What
    /// cannot be returned now waits for its agent's next request, or for the reaper.
    fn on_undelivered(&self, ctx: &Ctx<Msg>, leases: Vec<Granted>) {
        let coordinator = Arc::clone(&self.coordinator);
        let work = async move {
            let given_back = coordinator.ledger.give_back_untold(&leases);
            if let Err(error) = coordinator.in_time(given_back).await {
                tracing::warn!(%error, "undelivered leases wait for their agent or the reaper");
            }
            Msg::GivenBack
        };
        if let Err(error) = ctx.task(work) {
            tracing::warn!(%error, "undelivered leases wait for their agent or the reaper");
        }
    }

    async fn read_drain_intents(&self, waiting: &mut [Waiting]) -> Result<(), LedgerError> {
        let names = waiting.iter().map(|one| one.claim.agent.name.clone()).collect();
        let draining = self.coordinator.ledger.told_to_drain(names).await?;
        for Waiting { claim, .. } in waiting {
            claim.seeker.offer.draining = draining.contains(&claim.agent.name);
        }
        Ok(())
    }
}

impl Waiting {
    /// Says whether nothing is wanted any more.
    fn has_all(&self) -> bool {
        let seeker = &self.claim.seeker;
        seeker.slots == 0 && seeker.ahead.as_ref().is_none_or(|ahead| ahead.n == 0)
    }

    /// Adds leases, and takes what they use off what is still wanted.
    fn take(&mut self, leases: Vec<Granted>) {
        let seeker = &mut self.claim.seeker;
        for lease in &leases {
            if seeker.slots > 0 {
                seeker.slots -= 1;
                seeker.offer.free = seeker.offer.free.minus(lease.job.lane.resources());
            } else if let Some(ahead) = &mut seeker.ahead {
                ahead.n = ahead.n.saturating_sub(1);
            }
        }
        self.leases.extend(leases);
    }
}
