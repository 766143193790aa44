//! The time of Redis, asked for now and then and carried on by our own monotonic clock in between.
//!
//! Nearly every request wants to know the time; asking for it each time would cost a round trip of each. All processes follow
//! the same clock to within the time of such a trip, and clocks decide nothing but when to look.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Timestamp;

/// How long a reading is carried on. A Redis that has gone away is noticed after that, too.
const CARRY_ON_MAX: Duration = Duration::from_millis(500);

/// The latest reading. Time does not go back, except where another process of Redis answers, whose clock may be behind: to
/// stand still until it has caught up would be to disagree for so long with everybody who has only asked the new one.
#[derive(Debug, Default)]
pub(super) struct NexusTime {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reading: Option<Reading>,
    /// Milliseconds, the most that was ever told of the clock of this run.
    latest: u64,
}

#[derive(Debug)]
struct Reading {
    ms: u64,
    asked_at: Instant,
    read_at: Instant,
    run_id: String,
}

impl NexusTime {
    /// The present, if it was read a short while ago.
    pub(super) fn now(&self) -> Option<Timestamp> {
        let mut state = self.lock();
        let is_fresh = |reading: &Reading| reading.read_at.elapsed() < CARRY_ON_MAX;
        state.reading.as_ref().is_some_and(is_fresh).then(|| state.tell())
    }

    /// Notes a reading that was asked for at a moment, and who gave it. Of two answers the one that was asked for later counts.
    pub(super) fn note(&self, ms: u64, asked_at: Instant, run_id: &str) -> Timestamp {
        let mut state = self.lock();
        let known = state.reading.as_ref();
        if known.is_none_or(|known| asked_at >= known.asked_at) {
            if known.is_some_and(|known| known.run_id != run_id) {
                state.latest = 0;
            }
            state.reading = Some(Reading {
                ms,
                asked_at,
                read_at: asked_at + asked_at.elapsed() / 2,
                run_id: run_id.to_owned(),
            });
        }
        state.tell()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self) -> Timestamp {
        let carried_on = |reading: &Reading| reading.ms + millis(reading.read_at.elapsed());
        self.latest = self.latest.max(self.reading.as_ref().map_or(0, carried_on));
        Timestamp(self.latest)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_that_goes_back_does_not_turn_time_back() {
        let time = NexusTime::default();
        assert_eq!(time.now(), None);
        let first = time.note(5_000, Instant::now(), "one");
        assert!(time.note(4_000, Instant::now(), "one") >= first);
        assert!(time.now().is_none_or(|now| now >= first));
    }

    #[test]
    fn time_begins_anew_with_another_process_of_redis() {
        let time = NexusTime::default();
        let first = time.note(5_000_000, Instant::now(), "one");
        let second = time.note(1_000_000, Instant::now(), "two");
        assert!(second >= Timestamp(1_000_000) && second < first, "{second:?}");
        assert!(time.note(2_000_000, Instant::now(), "two") >= Timestamp(2_000_000));
    }

    #[test]
    fn an_answer_of_the_old_process_that_comes_late_does_not_count() {
        let time = NexusTime::default();
        let asked_first = Instant::now();
        let asked_last = asked_first + Duration::from_nanos(1);
        time.note(1_000_000, asked_last, "two");
        assert!(time.note(5_000_000, asked_first, "one") < Timestamp(5_000_000));
    }
}
