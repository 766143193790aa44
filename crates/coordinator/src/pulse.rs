//! Feels the nexus: inspects it each second, which publishes what it is like, and passes its hints on.
//!
//! Owns nothing but its subscription. What survives its death: nothing is needed, everybody else also looks by
//! themselves. An outage of the nexus is a state to publish, not a failure of this actor; a nexus that has stopped for good is.

use std::sync::Arc;
use std::time::Duration;

use ledger::Hint;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};

use crate::coordinator::Coordinator;
use crate::fail_points;
use crate::inspection::Inspection;

/// Time between two looks at the nexus.
const BEAT: Duration = Duration::from_secs(1);
const MAILBOX: usize = 8;

pub(crate) enum Msg {
    /// Time to look.
    Beat,
    /// The nexus was inspected.
    Felt(Inspection),
    /// The subscription has ended.
    HintsEnded,
}

pub(crate) struct Pulse {
    coordinator: Arc<Coordinator>,
}

/// Restarted for ever: without it everybody polls, which is slower but right.
pub fn child_spec(coordinator: &Arc<Coordinator>) -> ChildSpec {
    let coordinator = Arc::clone(coordinator);
    let handle = Handle::new("pulse", MAILBOX);
    ChildSpec::worker("pulse", &handle, move || Pulse {
        coordinator: Arc::clone(&coordinator),
    })
}

impl Actor for Pulse {
    type Msg = Msg;
    type State = ();

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        ctx.task(pump(Arc::clone(&self.coordinator)))?;
        // Hints that came while nobody listened are made up for.
        self.coordinator.signals.anything_may_have_changed();
        ctx.tell_self(Msg::Beat);
        Ok(())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, _state: &mut ()) -> Result<(), Failure> {
        match msg {
            Msg::Beat => {
                ctx.task(feel(Arc::clone(&self.coordinator)))?;
            }
            // No outage: waiting cannot help. Giving up takes the process down, and the next one opens the nexus anew.
            Msg::Felt(Inspection::Halted(why)) => {
                return Err(Failure::new(format!("the nexus must be opened anew: {why}")));
            }
            Msg::Felt(Inspection::Passed | Inspection::Away(_) | Inspection::Refused(_)) => {
                ctx.tick_after(BEAT, Msg::Beat);
            }
            // Only a closed nexus ends a subscription, and then the whole process is stopping.
            Msg::HintsEnded => {}
        }
        Ok(())
    }
}

async fn feel(coordinator: Arc<Coordinator>) -> Msg {
    Msg::Felt(coordinator.inspect().await)
}

/// Passes hints on until the subscription ends.
async fn pump(coordinator: Arc<Coordinator>) -> Msg {
    let mut hints = coordinator.ledger.watch();
    while let Some(hint) = hints.next().await {
        if fail_points::is_on(fail_points::LOSE_HINTS) {
            continue;
        }
        match hint {
            Hint::Said(text) => coordinator.signals.hint(&text),
            Hint::Missed(_) => coordinator.signals.anything_may_have_changed(),
        }
    }
    Msg::HintsEnded
}
