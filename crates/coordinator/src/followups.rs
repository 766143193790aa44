//! Does what must follow from a change in other entities: so far, admits waiting jobs to their groups.
//!
//! Owns nothing. A follow-up is written by the commit that causes it and stays until it is done, so a death between
//! the two loses nothing and doing it twice does no harm.

use std::sync::Arc;
use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::sync::watch;

use crate::coordinator::Coordinator;

/// Time between two passes when no hint comes.
const PASS_EVERY: Duration = Duration::from_secs(1);
const MAILBOX: usize = 4;

pub(crate) enum Msg {
    /// Time for a pass, or a hint that there is something to do.
    Look,
}

pub(crate) struct Followups {
    coordinator: Arc<Coordinator>,
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
    type State = watch::Receiver<u64>;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<watch::Receiver<u64>, Failure> {
        ctx.tell_self(Msg::Look);
        Ok(self.coordinator.signals.followups())
    }

    async fn handle(
        &self,
        ctx: &Ctx<Msg>,
        msg: Msg,
        changes: &mut watch::Receiver<u64>,
    ) -> Result<(), Failure> {
        match msg {
            Msg::Look => {
                // Seen before looking: what comes while looking wakes the next look.
                changes.mark_unchanged();
                let following = self.coordinator.ledger.follow_up();
                match self.coordinator.in_time(following).await {
                    Ok(admitted) if admitted >= ledger::PASS_MAX => ctx.tell_self(Msg::Look),
                    Ok(_) => self.await_hint(ctx, changes)?,
                    Err(error) => {
                        tracing::warn!(%error, "follow-ups wait for the next pass");
                        self.await_hint(ctx, changes)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Followups {
    /// Looks again at the next hint, and after a second in any case.
    fn await_hint(&self, ctx: &Ctx<Msg>, changes: &watch::Receiver<u64>) -> Result<(), Failure> {
        let mut next = changes.clone();
        ctx.task(async move {
            // Either way it is time to look: a hint came, or a second has passed.
            drop(tokio::time::timeout(PASS_EVERY, next.changed()).await);
            Msg::Look
        })?;
        Ok(())
    }
}
