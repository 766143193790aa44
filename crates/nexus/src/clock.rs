//! The clock of a nexus: milliseconds since the Unix epoch that never go backwards within a process.
//!
//! Where the time comes from is decided once, by whoever composes the system: the machine, tokio's clock (which tests
//! pause) or a number that a test sets.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::Timestamp;

/// A wall clock that is so far behind the monotonic one was set back; less is an adjustment and is followed.
const STEP_MS_MIN: u64 = 1_000;

/// A source of time. Clones share it.
#[derive(Clone)]
pub struct Clock {
    latest: Arc<AtomicU64>,
    source: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Clock {
    /// The machine's clock. It follows the machine's steps forward, but not those back: then it goes on at the pace of the
    /// monotonic clock, because a clock that stands still would let no deadline come.
    pub fn system() -> Self {
        let base = Mutex::new((wall_ms(), Instant::now()));
        Self::from_fn(move || {
            let mut base = base.lock().unwrap_or_else(PoisonError::into_inner);
            let (wall, paced) = (wall_ms(), base.0.saturating_add(elapsed_ms(base.1)));
            if wall.saturating_add(STEP_MS_MIN) < paced {
                return paced;
            }
            *base = (wall, Instant::now());
            wall
        })
    }

    /// Tokio's clock, which begins at `start` now and stands still while the runtime is paused. Needs a runtime.
    pub fn tokio(start: Timestamp) -> Self {
        let began_at = tokio::time::Instant::now();
        Self::from_fn(move || {
            let elapsed = u64::try_from(began_at.elapsed().as_millis()).unwrap_or(u64::MAX);
            start.0.saturating_add(elapsed)
        })
    }

    /// Any other source of milliseconds since the Unix epoch.
    pub fn from_fn(source: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            latest: Arc::new(AtomicU64::new(0)),
            source: Arc::new(source),
        }
    }

    /// The present, or the latest moment ever answered if the source has gone back since.
    pub fn now(&self) -> Timestamp {
        let now = (self.source)();
        Timestamp(now.max(self.latest.fetch_max(now, Ordering::Relaxed)))
    }
}

fn wall_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("latest", &self.latest)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_goes_back_does_not_turn_the_clock_back() {
        let source = Arc::new(AtomicU64::new(50));
        let clock = Clock::from_fn({
            let source = Arc::clone(&source);
            move || source.load(Ordering::Relaxed)
        });
        assert_eq!(clock.now(), Timestamp(50));
        source.store(40, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(50));
        source.store(60, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(60));
    }

    #[tokio::test(start_paused = true)]
    async fn the_tokio_clock_follows_paused_time() {
        let clock = Clock::tokio(Timestamp(1_000));
        assert_eq!(clock.now(), Timestamp(1_000));
        tokio::time::advance(std::time::Duration::from_millis(25)).await;
        assert_eq!(clock.now(), Timestamp(1_025));
    }
}
