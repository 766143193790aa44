//! Commits that fewer replicas had in time than were asked for: counted, and said now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a shortfall is written to the log at most.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The count since the nexus was opened.
#[derive(Debug, Default)]
pub(super) struct Shortfall {
    total: AtomicU64,
    said_at: Mutex<Option<Instant>>,
}

impl Shortfall {
    /// Notes a commit that so many replicas lacked.
    pub(super) fn note(&self, missing: u32) {
        if missing == 0 {
            return;
        }
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        let mut said_at = self.said_at.lock().unwrap_or_else(PoisonError::into_inner);
        if said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            *said_at = Some(Instant::now());
            tracing::warn!(missing, total, "acknowledged a commit that not all replicas have");
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}
