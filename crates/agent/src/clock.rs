//! The three clocks of an agent, and its one source of chance.
//!
//! Actors wait in tokio's time, which tests can pause. Leases are measured on the clock that goes on while the machine
//! sleeps, because the coordinator's does too. Log frames carry the time of day. Nothing else here reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// A point in time since the machine was started; it goes on while the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(pub Duration);

impl BootTime {
    /// Now.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        let part = |value: i64| u64::try_from(value).unwrap_or(0);
        Self(Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time `span` later.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// The time of day.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A number from 0 to 1, so that many agents do not come back at the same moment.
pub(crate) fn jitter() -> f64 {
    // Without randomness all agents wait equally long, which is still right.
    f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}
