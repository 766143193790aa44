//! Waiting for a condition with a deadline: the only way to wait here.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Far beyond what any single step takes on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The pause between two looks: short, since a server of ours is up after some ten milliseconds.
const PAUSE: Duration = Duration::from_millis(3);

/// Looks until there is something, for at most `limit`.
///
/// # Errors
/// A look fails, or nothing came; `what` says for what was waited.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that sleeps between looks; it waits for a condition"
)]
pub fn within<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began_at = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if began_at.elapsed() > limit {
            bail!("waited {limit:?} in vain for this: {what}");
        }
        thread::sleep(PAUSE);
    }
}
