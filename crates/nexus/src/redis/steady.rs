//! Background work that goes on: what works for ever ends only with its owner, and begins anew after a panic.
//!
//! Without this a panic would end the hints, or the look at how full memory is, silently and for the rest of the process.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::sleep;

/// How long work that panicked rests before it begins anew: what goes wrong at once must not take a whole core.
const REST: Duration = Duration::from_secs(1);

/// Does the work, and begins it anew whenever it panics. Ends when the work ends by itself.
pub(super) async fn keep_going<W: Future<Output = ()>>(what: &'static str, mut work: impl FnMut() -> W) {
    while !is_done(what, work()).await {
        sleep(REST).await;
    }
}

/// Does the work; false if it panicked, which is said.
pub(super) async fn is_done(what: &'static str, work: impl Future<Output = ()>) -> bool {
    let done = AssertUnwindSafe(work).catch_unwind().await.is_ok();
    if !done {
        tracing::error!(what, "this panicked, and is begun anew");
    }
    done
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_begins_anew_until_it_ends() {
        let n_begun = AtomicU32::new(0);
        keep_going("test", async || {
            let n = n_begun.fetch_add(1, Ordering::Relaxed);
            assert!(n >= 2, "the first two panic");
        })
        .await;
        assert_eq!(n_begun.load(Ordering::Relaxed), 3);
    }
}
