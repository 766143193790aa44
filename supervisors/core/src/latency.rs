//! How long messages waited: a histogram that costs one atomic addition a message.
//!
//! The one idea: bucket `i` counts the waits shorter than 2^i microseconds that no smaller bucket took. A quantile is
//! thus told as the upper end of its bucket, at most twice the truth, which is as fine as one looks at a queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of a histogram. The last one takes everything from 2^24 us (17 s) on.
pub const LATENCY_BUCKETS: usize = 26;

/// Counts of waits, written by one actor and read by anybody.
#[derive(Default)]
pub(crate) struct Waits {
    counts: [AtomicU64; LATENCY_BUCKETS],
}

impl Waits {
    pub(crate) fn count(&self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        let count = &self.counts[bucket.min(LATENCY_BUCKETS - 1)];
        // Only the actor's own task writes, so nothing is lost between the two.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Histogram {
        Histogram {
            counts: std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed)),
        }
    }
}

/// How long messages waited, by powers of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many messages waited less than 2^i us and not less than half of that; the first: less than 1 us.
    /// The last takes all that waited longer.
    pub counts: [u64; LATENCY_BUCKETS],
}

impl Histogram {
    /// Returns a bound that this part (0 to 1) of all waits did not exceed, at most twice too large. The waits of the
    /// last bucket are told as its lower end. Nothing was counted: nothing is known.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let total: u64 = self.counts.iter().sum();
        // Precise enough: a count beyond 2^52 is not reached.
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "see above"
        )]
        let rank = ((total as f64 * part.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_micros(1 << bucket.min(LATENCY_BUCKETS - 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(waits_us: &[u64]) -> Histogram {
        let waits = Waits::default();
        waits_us
            .iter()
            .for_each(|us| waits.count(Duration::from_micros(*us)));
        waits.read()
    }

    #[test]
    fn a_quantile_is_not_below_the_truth_and_at_most_twice_it() {
        let histogram = after(&[1, 3, 5, 100, 3_000]);
        for (part, truth) in [(0.2, 1), (0.4, 3), (0.5, 5), (0.8, 100), (1.0, 3_000)] {
            let told = histogram.quantile(part).unwrap();
            let truth = Duration::from_micros(truth);
            assert!(
                truth <= told && told <= 2 * truth,
                "{part}: {told:?} for {truth:?}"
            );
        }
    }

    #[test]
    fn the_shortest_and_the_longest_wait_have_a_bucket() {
        let histogram = after(&[0, u64::MAX]);
        assert_eq!(
            (histogram.counts[0], histogram.counts[LATENCY_BUCKETS - 1]),
            (1, 1)
        );
        assert_eq!(histogram.quantile(1.0), Some(Duration::from_micros(1 << 24)));
    }

    #[test]
    fn of_no_messages_nothing_is_known() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
