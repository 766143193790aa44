//! Work with files that may take long, on a thread on which nobody else waits.
//!
//! A disk that stands still must not keep the actors from renewing leases. Such work cannot be cancelled: if nobody waits
//! for it any more it goes on to its end, so it must be harmless when it comes late.

use std::future;

use tokio::task::spawn_blocking;

/// Does `work` on a thread of its own and waits for it. A panic in it is passed on.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: whoever waits here is about to be dropped.
            Err(_) => future::pending().await,
        },
    }
}
