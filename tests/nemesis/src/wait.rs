//! Waiting for a condition with a deadline, and pauses that end early when everything is over.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// Far beyond what any single step takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(90);

/// Looks until there is something, for at most [`LIMIT`].
///
/// # Errors
/// A look fails, or nothing came; `what` says for what was waited.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    e2e::within_limit(what, LIMIT, look)
}

/// Something that ends once, for threads that pause until then.
#[derive(Debug, Default)]
pub struct End {
    /// A mutex: a condition variable needs one.
    is_here: Mutex<bool>,
    comes: Condvar,
}

impl End {
    /// It is over now.
    pub fn come(&self) {
        *self.is_here.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.comes.notify_all();
    }

    /// Pauses for so long, or until it is over. Says whether it is.
    pub fn pause(&self, span: Duration) -> bool {
        let is_here = self.is_here.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.comes.wait_timeout_while(is_here, span, |is_here| !*is_here);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
