//! Makes jobs claimable whose time has come.
//!
//! Owns nothing. Twice a second it fires what is due, each timer once, because the job's record guards it. The backstop
//! of a running job's timeout is in the renewal of its lease (`domain::plan::has_overrun`), so it needs no timer here.

use std::sync::Arc;
use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};

use crate::coordinator::Coordinator;
use crate::jitter;

/// Time between two passes, at most: how late a timer may fire. Coordinators that pass at different times meet different
/// timers.
const PASS_EVERY: Duration = Duration::from_millis(500);
const MAILBOX: usize = 4;

pub(crate) enum Msg {
    /// Time for a pass.
    Tick,
}

pub(crate) struct Timekeeper {
    coordinator: Arc<Coordinator>,
}

pub fn child_spec(coordinator: &Arc<Coordinator>) -> ChildSpec {
    let coordinator = Arc::clone(coordinator);
    let handle = Handle::new("timekeeper", MAILBOX);
    ChildSpec::worker("timekeeper", &handle, move || Timekeeper {
        coordinator: Arc::clone(&coordinator),
    })
}

impl Actor for Timekeeper {
    type Msg = Msg;
    type State = ();

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        ctx.tell_self(Msg::Tick);
        Ok(())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, _state: &mut ()) -> Result<(), Failure> {
        match msg {
            // Nothing is to be touched before the nexus is known to be the right one.
            Msg::Tick if !self.coordinator.signals.is_open() => {
                ctx.tick_after(jitter::within(PASS_EVERY), Msg::Tick);
            }
            Msg::Tick => {
                let firing = self.coordinator.ledger.fire_timers();
                let pause = match self.coordinator.in_time(firing).await {
                    // There may be more.
                    Ok(fired) if fired >= ledger::PASS_MAX => Duration::ZERO,
                    // Also when another coordinator was faster with some of them: it goes on, and this one leaves it to it.
                    Ok(_) => jitter::within(PASS_EVERY),
                    Err(error) => {
                        self.coordinator
                            .complain("timers could not be fired; they will be in the next pass", &error);
                        jitter::within(PASS_EVERY)
                    }
                };
                ctx.tick_after(pause, Msg::Tick);
            }
        }
        Ok(())
    }
}
