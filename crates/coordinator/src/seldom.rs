//! Keeps a trouble that meets every request from filling the log: said at once, then now and then, with how often it was met.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Something that is said at most once in a while.
pub(crate) struct Seldom {
    every: Duration,
    /// Not an actor: whoever meets the trouble counts, and goes on.
    said: Mutex<Said>,
}

struct Said {
    last: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    pub(crate) const fn new(every: Duration) -> Self {
        let said = Said {
            last: None,
            unsaid: 0,
        };
        Self {
            every,
            said: Mutex::new(said),
        }
    }

    /// Whether it is to be said now; if so, how often it was not since it was last said.
    pub(crate) fn is_due(&self, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_soon = |last| now.saturating_duration_since(last) < self.every;
        if said.last.is_some_and(is_soon) {
            said.unsaid += 1;
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_a_thousand_times_is_said_once_in_a_while_and_how_often_it_was() {
        let every = Duration::from_secs(10);
        let seldom = Seldom::new(every);
        let begun = Instant::now();
        assert_eq!(seldom.is_due(begun), Some(0));
        for n in 0..1_000 {
            assert_eq!(seldom.is_due(begun + every.mul_f64(f64::from(n) / 1_000.0)), None);
        }
        assert_eq!(seldom.is_due(begun + every), Some(1_000));
        assert_eq!(seldom.is_due(begun + every * 3), Some(0));
    }
}
