//! Returns the jobs of silent agents to the queue, and jobs that were taken but never claimed to their lanes.
//!
//! Owns nothing: each tick is one bounded, idempotent pass of the ledger, and any number of coordinators may do it. Of
//! those that tick at about the same time one does the work, and the others see by its beat that it is done.
//! An agent is *silent* when the deadline of its lease has passed in a time that the reaper itself lived through; after
//! an outage everybody gets a grace first (`domain::plan`).

use std::sync::Arc;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::time::Instant;

use crate::coordinator::Coordinator;
use crate::jitter;

/// Passes between two sweeps of forgotten agents, idempotency keys and quarantined jobs, each of which is a page of the
/// nexus at most.
const SWEEP_PASSES: u64 = 10;
const MAILBOX: usize = 4;

pub(crate) enum Msg {
    /// Time for a pass.
    Tick,
    /// Time to record who was heard of. A message of its own, with its own time for the nexus.
    Seen,
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
                ctx.tell_self(Msg::Seen);
                if self.on_tick().await {
                    state.passes += 1;
                    if state.passes.is_multiple_of(SWEEP_PASSES) {
                        ctx.tell_self(Msg::Sweep);
                    }
                }
                let every = domain::plan::reap_every(self.coordinator.config.lease_ttl);
                ctx.tick_after(jitter::around(every), Msg::Tick);
            }
            Msg::Seen => self.record_seen().await,
            Msg::Sweep => self.on_sweep().await,
        }
        Ok(())
    }
}

impl Reaper {
    /// Says whether it was this reaper's turn.
    async fn on_tick(&self) -> bool {
        // Nothing is to be touched before the nexus is known to be the right one.
        if !self.coordinator.signals.is_open() {
            return false;
        }
        let reaping = self.coordinator.ledger.reap(self.coordinator.config.lease_ttl);
        match self.coordinator.in_time(reaping).await {
            Ok(reaped) => {
                if reaped.taken + reaped.returned > 0 {
                    self.coordinator.metrics.reaped(reaped.taken, reaped.returned);
                    tracing::warn!(
                        taken = reaped.taken,
                        returned = reaped.returned,
                        "took back overdue leases and holds"
                    );
                }
                reaped.beat
            }
            Err(error) => {
                self.coordinator
                    .complain("a pass of the reaper failed; the next one grants a grace", &error);
                false
            }
        }
    }

    /// Records which agents were heard of since the last tick.
    async fn record_seen(&self) {
        if !self.coordinator.signals.is_open() {
            return;
        }
        let seen = self.coordinator.agents.take_due(Instant::now());
        let recording = self.coordinator.ledger.touch(&seen);
        if let Err(error) = self.coordinator.in_time(recording).await {
            tracing::debug!(%error, "agents are not noted as seen yet");
            self.coordinator.agents.were_not_recorded(seen);
        }
    }

    async fn on_sweep(&self) {
        if !self.coordinator.signals.is_open() {
            return;
        }
        let ledger = &self.coordinator.ledger;
        let ttl = self.coordinator.config.lease_ttl;
        let sweeping = async {
            tokio::try_join!(ledger.forget_agents(), ledger.forget_keys(), ledger.restore(ttl))?;
            ledger.n_quarantined().await
        };
        match self.coordinator.in_time(sweeping).await {
            Ok(quarantined) => self.coordinator.metrics.quarantined(quarantined),
            Err(error) => tracing::warn!(%error, "old agents and idempotency keys stay for now"),
        }
    }
}
