//! How the process comes to its end: when nothing is left to do, or when it has waited long enough.
//!
//! Whoever runs the agent waits here. A process that was told to end lets its runs go on up to a limit, then ends them,
//! and then has a short while for its last words. Last of all it asks whether a lease was granted that never arrived, and
//! gives it back: so nothing waits for an agent that is gone.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::Station;
use crate::lifeline::renew_all;
use crate::table::Stop;

/// How long the last question may take.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// Waits until the process may end. `last_words` is how long reports may take once everything was killed. Both limits
/// count from the latest call, so it may be cancelled and called again. Told to end now, it takes `last_words` at most;
/// told to drain, [`FAREWELL`] and `last_words` from when nothing is held.
pub async fn ended(station: &Station, last_words: Duration) {
    tokio::select! {
        () = all_told(station, last_words) => {}
        () = patience(station, last_words) => {
            let held = station.table.len();
            tracing::warn!(held, "ending before the coordinator could be told of everything");
        }
    }
}

async fn all_told(station: &Station, last_words: Duration) {
    nothing_left(station).await;
    let told_to = *station.table.bells.stop.borrow() != Stop::No;
    if told_to && matches!(timeout(FAREWELL, renew_all(station, &[])).await, Ok(Ok(()))) {
        // Too late means that the reaper takes the lease back.
        timeout(last_words, nothing_left(station)).await.ok();
    }
}

async fn nothing_left(station: &Station) {
    let mut held = station.table.bells.held.subscribe();
    while !station.table.is_done() {
        // The sender is part of the station, so it cannot be gone.
        held.changed().await.ok();
    }
}

/// Ends when the process must, whatever is left.
async fn patience(station: &Station, last_words: Duration) {
    let mut stop = station.table.bells.stop.subscribe();
    stop.wait_for(|stop| *stop != Stop::No).await.ok();
    let now = async { stop.wait_for(|stop| *stop == Stop::Now).await.map(drop).ok() };
    match station.drain_limit {
        Some(limit) => {
            tokio::select! {
                _ = now => {}
                () = sleep(limit) => station.table.stop(Stop::Now),
            }
        }
        None => drop(now.await),
    }
    sleep(last_words).await;
}
