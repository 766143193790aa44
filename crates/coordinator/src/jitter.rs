//! Periods that are not quite the same for any two coordinators: what several processes do now and then, they do one after
//! the other instead of at once. Nothing is decided by it.

use std::time::Duration;

/// A period up to a tenth shorter or longer than this one.
pub(crate) fn around(period: Duration) -> Duration {
    period.mul_f64(0.9 + 0.2 * fraction())
}

/// A period up to a fifth shorter than this one, never longer.
pub(crate) fn within(period: Duration) -> Duration {
    period.mul_f64(0.8 + 0.2 * fraction())
}

/// A pause between nothing and this.
pub(crate) fn up_to(limit: Duration) -> Duration {
    limit.mul_f64(fraction())
}

/// Evenly spread from 0 to 1; 1 where there is no randomness to be had.
fn fraction() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_stay_within_their_bounds() {
        let period = Duration::from_secs(10);
        for _ in 0..1_000 {
            assert!((9.0..=11.0).contains(&around(period).as_secs_f64()));
            assert!((8.0..=10.0).contains(&within(period).as_secs_f64()));
            assert!(up_to(period) <= period);
        }
    }
}
