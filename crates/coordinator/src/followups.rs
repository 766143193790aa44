//! Does what must follow from a change in other entities: so far, admits waiting jobs to their groups.
//!
//! Owns nothing. A follow-up is written by the commit that causes it and stays until it is done, so a death between
//! the two loses nothing and doing it twice does no harm. The coordinator that made the commit does it at once; the others
//! hear of it too, and look a little later, each at its own time, whether it is done.

use std::sync::Arc;
use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::coordinator::Coordinator;
use crate::jitter;

/// Time between two passes when no hint comes.
const PASS_EVERY: Duration = Duration::from_secs(1);
/// How long another coordinator is given to do what follows from its own commit.
const OTHERS_FIRST: Duration = Duration::from_millis(50);
/// Over how long the looks of all coordinators are spread that hear of the same commit.
const SPREAD: Duration = Duration::from_millis(150);
const MAILBOX: usize = 4;

pub(crate) enum Msg {
    /// Time for a pass, or a hint that there is something to do.
    Look,
}

pub(crate) struct Followups {
    coordinator: Arc<Coordinator>,
}

/// What has been written that must be followed up.
#[derive(Clone)]
pub(crate) struct Changes {
    /// By this coordinator.
    own: watch::Receiver<u64>,
    /// By anybody.
    hinted: watch::Receiver<u64>,
}

pub fn child_spec(coordinator: &Arc<Coordinator>) -> ChildSpec {
    let coordinator = Arc::clone(coordinator);
    let handle = Handle::new("followups", MAILBOX);
    ChildSpec::worker("followups", &handle, move || Followups {
        coordinator: Arc::clone(&coordinator),
    })
}

impl Actor for Followups {
    type Msg = Msg;
    type State = Changes;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<Changes, Failure> {
        ctx.tell_self(Msg::Look);
        Ok(Changes {
            own: self.coordinator.ledger.followups_written(),
            hinted: self.coordinator.signals.followups(),
        })
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, changes: &mut Changes) -> Result<(), Failure> {
        match msg {
            Msg::Look => {
                // Seen before looking: what comes while looking wakes the next look.
                changes.own.mark_unchanged();
                changes.hinted.mark_unchanged();
                // Nothing is to be touched before the nexus is known to be the right one.
                if !self.coordinator.signals.is_open() {
                    return self.await_hint(ctx, changes);
                }
                let following = self.coordinator.ledger.follow_up();
                match self.coordinator.in_time(following).await {
                    Ok(admitted) if admitted >= ledger::PASS_MAX => ctx.tell_self(Msg::Look),
                    Ok(_) => self.await_hint(ctx, changes)?,
                    Err(error) => {
                        self.coordinator
                            .complain("follow-ups wait for the next pass", &error);
                        self.await_hint(ctx, changes)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Followups {
    /// Looks again when something was written, and after a second in any case.
    fn await_hint(&self, ctx: &Ctx<Msg>, changes: &Changes) -> Result<(), Failure> {
        let Changes { mut own, mut hinted } = changes.clone();
        let somebody_elses = async move {
            // The sender lives as long as the coordinator.
            hinted.changed().await.ok();
            sleep(OTHERS_FIRST + jitter::up_to(SPREAD)).await;
        };
        ctx.task(async move {
            tokio::select! {
                _ = own.changed() => {}
                () = somebody_elses => {}
                () = sleep(jitter::within(PASS_EVERY)) => {}
            }
            Msg::Look
        })?;
        Ok(())
    }
}
