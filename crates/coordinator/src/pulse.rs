//! Feels the nexus: publishes whether it answers, and passes its hints on.
//!
//! Owns nothing but its subscription. What survives its death: nothing is needed, everybody else also looks by
//! themselves. An outage of the nexus is a state to publish, not a failure of this actor; a nexus that has stopped for good is.

use std::sync::Arc;
use std::time::Duration;

use ledger::Hint;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};

use crate::coordinator::Coordinator;
use crate::signals::Health;

/// Time between two looks at the nexus.
const BEAT: Duration = Duration::from_secs(1);
/// How long the nexus may take to answer a look before it counts as down.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const MAILBOX: usize = 8;

pub(crate) enum Msg {
    /// Time to look.
    Beat,
    /// The nexus answered a look, or did not.
    Felt(Health),
    /// The nexus takes no more writes until it is opened anew; in its words.
    Halted(String),
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
            Msg::Felt(health) => {
                self.coordinator.signals.set_health(health);
                ctx.tick_after(BEAT, Msg::Beat);
            }
            // No outage: waiting cannot help. Giving up takes the process down, and the next one opens the nexus anew.
            Msg::Halted(why) => {
                self.coordinator.signals.set_health(Health::Down(why.clone()));
                return Err(Failure::new(format!("the nexus must be opened anew: {why}")));
            }
            // Only a closed nexus ends a subscription, and then the whole process is stopping.
            Msg::HintsEnded => {}
        }
        Ok(())
    }
}

async fn feel(coordinator: Arc<Coordinator>) -> Msg {
    let answer = tokio::time::timeout(ANSWER_MAX, coordinator.ledger.probe()).await;
    match answer {
        Ok(Ok(())) => Msg::Felt(Health::Up),
        Ok(Err(error)) if error.needs_a_new_start() => Msg::Halted(error.to_string()),
        Ok(Err(error)) => Msg::Felt(Health::Down(error.to_string())),
        Err(_) => Msg::Felt(Health::Down(format!("no answer within {ANSWER_MAX:?}"))),
    }
}

/// Passes hints on until the subscription ends.
async fn pump(coordinator: Arc<Coordinator>) -> Msg {
    let mut hints = coordinator.ledger.watch();
    while let Some(hint) = hints.next().await {
        match hint {
            Hint::Said(text) => coordinator.signals.hint(&text),
            Hint::Missed(_) => coordinator.signals.anything_may_have_changed(),
        }
    }
    Msg::HintsEnded
}
