//! Waiting for a condition with a deadline: the only way to wait here.

use std::time::Duration;

use anyhow::{Error, Result, bail};
use tokio::time::{Instant, sleep};

/// Far beyond what any single step takes on a loaded machine, the slowest retry of the system included.
pub const LIMIT: Duration = Duration::from_secs(25);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(40);

/// Looks until there is something, for at most [`LIMIT`].
///
/// # Errors
/// A look fails, or nothing came; `what` says for what was waited.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {LIMIT:?} in vain: {what}");
        }
        sleep(PAUSE).await;
    }
}

/// Opens something that a process of its own locks. It may be locked for an instant although its owner has gone: a command
/// that some world of this test starts at that moment has copies of all open files until it is executed.
///
/// # Errors
/// It cannot be opened, or stays locked.
pub async fn unlocked<T>(mut open: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    eventually("it is not locked any more", async || match open().await {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if is_locked(&error) => Ok(None),
        Err(error) => Err(error),
    })
    .await
}

fn is_locked(error: &Error) -> bool {
    let nexus = error.downcast_ref::<nexus::OpenError>();
    let agent = error.downcast_ref::<agent::OpenError>();
    matches!(nexus, Some(nexus::OpenError::InUse { .. }))
        || matches!(agent, Some(agent::OpenError::InUse { .. }))
}

/// Waits until something is so.
///
/// # Errors
/// It never is.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    eventually(what, async || Ok(is_so().then_some(()))).await
}
