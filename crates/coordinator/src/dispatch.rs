//! Gives leases to agents that ask: parks their long polls and serves all of them with one take and one commit.
//!
//! Owns the parked claims. Woken by a hint that a lane has work, by a new claim, and once a second in any case. While a
//! pass is under way the mailbox fills, and all that has gathered is served by the next pass together. Its death
//! loses nothing: whoever was parked asks again, and what was claimed but not told is found by the agent's next claim.

use std::sync::Arc;
use std::time::Duration;

use domain::plan::{LaneDemand, Seeker, plan_claim};
use domain::{AgentRef, JobEvent, Lane};
use ledger::{Claimant, Granted, LedgerError};
use supervision::{Actor, ChildSpec, Ctx, Failure, Reply};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::coordinator::Coordinator;

/// Time between two looks when no hint comes: how late a lost hint can make a job.
const LOOK_EVERY: Duration = Duration::from_secs(1);
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
    /// A second has passed, or somebody's time is over.
    Tick,
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
        ctx.tell_self(Msg::Tick);
        Ok(State::default())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Claim(claim) => {
                self.on_claim(*claim, state).await;
                due(ctx, state);
            }
            Msg::Work => {
                self.await_work(ctx)?;
                due(ctx, state);
            }
            Msg::AgentsChanged => {
                self.await_agents(ctx)?;
                self.on_agents_changed(state).await;
            }
            Msg::Pass => self.on_pass(ctx, state).await,
            Msg::Tick => due(ctx, state),
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

/// How a pass ended.
enum Served {
    /// Nothing fits any more.
    All,
    /// There may be more; others come first.
    ForNow,
}

/// What to take in one round, and for which of the seekers. Behind the slots of all comes what is held ahead, so that
/// nobody keeps a job that another agent has a slot for.
fn demands(seekers: &[&Seeker], lanes: &[Lane]) -> Vec<(usize, LaneDemand)> {
    let mut demands = Vec::new();
    let mut ahead = Vec::new();
    for (index, seeker) in seekers.iter().enumerate() {
        let Some(demand) = plan_claim(seeker, lanes) else {
            continue;
        };
        // Where a demand does not ask for all slots, what else fits depends on what it brings.
        let filled = (demand.n == seeker.slots).then(|| Seeker {
            slots: 0,
            ..(*seeker).clone()
        });
        demands.push((index, demand));
        ahead.extend(filled.and_then(|filled| Some((index, plan_claim(&filled, lanes)?))));
    }
    demands.append(&mut ahead);
    demands
}

impl Dispatch {
    async fn on_claim(&self, mut claim: Claim, state: &mut State) {
        // The change itself may have been handled before this claim came, so nobody would look again.
        if claim.changes.has_changed().unwrap_or(true) {
            self.read_drain_intent(&mut claim).await;
        }
        state.waiting.push(Waiting {
            claim,
            leases: Vec::new(),
        });
    }

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
        if !state.waiting.is_empty() {
            match self.serve(&mut state.waiting).await {
                Ok(Served::All) => {}
                Ok(Served::ForNow) => due(ctx, state),
                Err(error) => {
                    tracing::warn!(%error, "waiting agents could not be served; the next look tries again");
                }
            }
            self.answer(&mut state.waiting).await;
        }
        let next = state.waiting.iter().map(|waiting| waiting.claim.deadline).min();
        let pause = next.map_or(LOOK_EVERY, |at| {
            at.saturating_duration_since(Instant::now()).min(LOOK_EVERY)
        });
        ctx.tick_after(pause, Msg::Tick);
    }

    /// Takes and claims for everybody at once, until nothing fits any more.
    async fn serve(&self, waiting: &mut [Waiting]) -> Result<Served, LedgerError> {
        for _ in 0..ROUNDS_MAX {
            let lanes = self.coordinator.ledger.lanes().await?;
            let seekers: Vec<&Seeker> = waiting.iter().map(|one| &one.claim.seeker).collect();
            let demands = demands(&seekers, &lanes);
            if demands.is_empty() {
                return Ok(Served::All);
            }
            let (who, claimants): (Vec<usize>, Vec<Claimant>) = demands
                .into_iter()
                .filter_map(|(index, demand)| {
                    let agent = waiting.get(index)?.claim.agent.clone();
                    Some((index, Claimant { agent, demand }))
                })
                .unzip();
            let granted = self
                .coordinator
                .ledger
                .claim(&claimants, self.coordinator.config.lease_ttl)
                .await?;
            let mut progress = false;
            for (index, leases) in who.into_iter().zip(granted) {
                if let Some(one) = waiting.get_mut(index) {
                    progress |= !leases.is_empty();
                    one.take(leases);
                }
            }
            if !progress || waiting.iter().all(Waiting::has_all) {
                return Ok(Served::All);
            }
        }
        Ok(Served::ForNow)
    }

    /// Answers those who got something, and those whose time is over.
    async fn answer(&self, waiting: &mut Vec<Waiting>) {
        let now = Instant::now();
        let over = |one: &mut Waiting| {
            !one.leases.is_empty() || one.claim.deadline <= now || one.claim.seeker.offer.draining
        };
        for one in waiting.extract_if(.., over) {
            let draining = one.claim.seeker.offer.draining;
            self.coordinator.metrics.granted(one.leases.len());
            let undelivered = one.leases.clone();
            if !one.claim.reply.send(Answer {
                leases: one.leases,
                draining,
            }) {
                self.give_back(undelivered).await;
            }
        }
    }

    /// Returns leases whose agent has gone away. What cannot be returned now, the agent's next claim or the reaper finds.
    async fn give_back(&self, leases: Vec<Granted>) {
        for lease in leases {
            let why = domain::job::GiveBack::Undelivered;
            let event = JobEvent::GivenBack {
                attempt: lease.job.attempt,
                why,
            };
            if let Err(error) = self.coordinator.ledger.apply(&lease.job.id, event).await {
                tracing::warn!(job.id = %lease.job.id, %error, "an undelivered lease waits for the reaper");
            }
        }
    }

    async fn on_agents_changed(&self, state: &mut State) {
        for one in &mut state.waiting {
            self.read_drain_intent(&mut one.claim).await;
        }
        self.answer(&mut state.waiting).await;
    }

    async fn read_drain_intent(&self, claim: &mut Claim) {
        match self.coordinator.ledger.draining(&claim.agent.name).await {
            Ok(draining) => claim.seeker.offer.draining = draining,
            Err(error) => tracing::warn!(%error, "a change of drain intent is seen with the next claim"),
        }
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

#[cfg(test)]
mod tests {
    use domain::plan::Ahead;
    use domain::{Offer, Resources};

    use super::*;

    fn seeker(slots: usize, ahead: Option<usize>) -> Seeker {
        let offer = Offer {
            labels: domain::requirement::Labels::default(),
            capacity: Resources::default(),
            free: Resources::default(),
            draining: false,
        };
        let ahead = ahead.map(|n| Ahead { lane: lane(), n });
        Seeker { offer, slots, ahead }
    }

    fn lane() -> Lane {
        Lane::new(Resources::default(), [])
    }

    #[test]
    fn what_is_held_ahead_is_taken_together_with_the_slots_but_behind_those_of_all() {
        let check = |seekers: &[&Seeker], expected: &[(usize, usize)]| {
            let found: Vec<_> = demands(seekers, &[lane()])
                .iter()
                .map(|(i, demand)| (*i, demand.n))
                .collect();
            assert_eq!(found, expected);
        };
        let (greedy, modest, full) = (seeker(2, Some(10)), seeker(3, None), seeker(0, Some(4)));
        check(&[&greedy, &modest], &[(0, 2), (1, 3), (0, 10)]);
        check(&[&full, &seeker(0, None)], &[(0, 4)]);
    }
}
