//! How long to wait before a coordinator is asked again that could not be reached.

use std::time::Duration;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait: how late an agent may notice that an outage is over. A coordinator that has too much to do asks
/// to be left alone for a second, and gets that.
const LONGEST: Duration = Duration::from_secs(1);

/// Doubles with every failure in a row up to [`LONGEST`]; `jitter` from 0 to 1 takes away up to half of it.
pub(crate) fn backoff(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(LONGEST).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit_and_jitter_halves_it_at_most() {
        let waits = [1, 2, 3, 30].map(|failures| backoff(failures, 0.0).as_millis());
        assert_eq!(waits, [100, 200, 400, 1_000]);
        assert_eq!(backoff(30, 1.0).as_millis(), 500);
    }
}
