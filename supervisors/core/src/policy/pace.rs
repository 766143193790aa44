//! How long a child waits before it is started again.
//!
//! The one idea: the delay doubles with every failure in a row, and a life that lasted ends the row. It delays the
//! start and nothing else: the restart is counted when it is decided, so a backoff hides no failure from the intensity.
//! No jitter: it is one child of one process, and there is no herd to spread.

use std::time::{Duration, Instant};

use crate::spec::Backoff;

/// The pace of one child's restarts.
pub(super) struct Pace {
    backoff: Option<Backoff>,
    /// What the next delay is, if the child fails soon.
    next: Duration,
    up_since: Option<Instant>,
}

impl Pace {
    pub(super) fn new(backoff: Option<Backoff>) -> Self {
        Self {
            backoff,
            next: Duration::ZERO,
            up_since: None,
        }
    }

    /// A life began.
    pub(super) fn up(&mut self, now: Instant) {
        self.up_since = Some(now);
    }

    /// Returns how long to wait before the restart that is decided now; nothing for a child without backoff.
    pub(super) fn delay(&mut self, now: Instant) -> Option<Duration> {
        let Backoff {
            base,
            max,
            reset_after,
        } = self.backoff?;
        // A failed start is a life of no length: it has not been up since the delay before.
        let lasted = self
            .up_since
            .take()
            .map(|since| now.saturating_duration_since(since));
        if lasted.is_some_and(|lasted| lasted >= reset_after) {
            self.next = base;
        }
        let delay = self.next.max(base);
        self.next = delay.saturating_mul(2).min(max);
        Some(delay)
    }
}
