//! Returns the jobs of silent agents to the queue, and jobs that were taken but never claimed to their lanes.
//!
//! Owns nothing: each tick is one bounded, idempotent pass of the ledger, and any number of coordinators may do it.
//! An agent is *silent* when the deadline of its lease has passed in a time that the reaper itself lived through; after
//! an outage everybody gets a grace first (`domain::plan`).

use std::sync::Arc;
use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};

use crate::coordinator::Coordinator;

/// Time between two passes.
const PASS_EVERY: Duration = Duration::from_secs(1);
/// Passes between two sweeps of forgotten agents and idempotency keys, each of which is a page of the nexus at most.
const SWEEP_PASSES: u64 = 10;
const MAILBOX: usize = 4;

pub(crate) enum Msg {
    /// Time for a pass.
    Tick,
    /// Time to sweep.
    Sweep,
}

pub(crate) struct Reaper {
    coordinator: Arc<Coordinator>,
}

pub(crate) struct State {
    passes: u64,
}

pub fn child_spec(coordinator: &Arc<Coordinator>) -> ChildSpec {
    let coordinator = Arc::clone(coordinator);
    let handle = Handle::new("reaper", MAILBOX);
    ChildSpec::worker("reaper", &handle, move || Reaper {
        coordinator: Arc::clone(&coordinator),
    })
}

impl Actor for Reaper {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        ctx.tell_self(Msg::Tick);
        Ok(State { passes: 0 })
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Tick => {
                self.on_tick().await;
                state.passes += 1;
                if state.passes.is_multiple_of(SWEEP_PASSES) {
                    ctx.tell_self(Msg::Sweep);
                }
                ctx.tick_after(PASS_EVERY, Msg::Tick);
            }
            Msg::Sweep => self.on_sweep().await,
        }
        Ok(())
    }
}

impl Reaper {
    async fn on_tick(&self) {
        let reaping = self.coordinator.ledger.reap(self.coordinator.config.lease_ttl);
        match self.coordinator.in_time(reaping).await {
            Ok(reaped) if reaped.taken + reaped.returned > 0 => {
                self.coordinator.metrics.reaped(reaped.taken, reaped.returned);
                tracing::warn!(
                    taken = reaped.taken,
                    returned = reaped.returned,
                    "took back overdue leases and holds"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a pass of the reaper failed; the next one grants a grace"),
        }
    }

    async fn on_sweep(&self) {
        let ledger = &self.coordinator.ledger;
        let sweeping = async { tokio::try_join!(ledger.forget_agents(), ledger.forget_keys()) };
        if let Err(error) = self.coordinator.in_time(sweeping).await {
            tracing::warn!(%error, "old agents and idempotency keys stay for now");
        }
    }
}
