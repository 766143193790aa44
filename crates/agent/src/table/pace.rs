//! How long the jobs of a lane take a slot, as this agent has seen it.
//!
//! Only a lane whose jobs are known to be short is held ahead: otherwise leases would wait here for a slot while another
//! agent has one.

use std::collections::HashMap;
use std::time::Duration;

use domain::Lane;
use domain::plan::AHEAD_MAX;

/// Jobs that run for longer on average are not held ahead.
const SHORT: Duration = Duration::from_millis(50);
/// How much work is held ahead, for each slot.
const AHEAD: Duration = Duration::from_millis(100);
/// The weight of the newest run in the mean.
const NEWEST: f64 = 0.2;
/// Lanes that are remembered.
const LANES_MAX: usize = 256;

/// The mean time in a slot of each lane's jobs, in seconds; newer runs count more.
#[derive(Default)]
pub(super) struct Pace {
    means: HashMap<Lane, f64>,
}

impl Pace {
    pub(super) fn note(&mut self, lane: &Lane, taken: Duration) {
        let seconds = taken.as_secs_f64();
        if let Some(mean) = self.means.get_mut(lane) {
            *mean += NEWEST * (seconds - *mean);
            return;
        }
        if self.means.len() >= LANES_MAX {
            // A lane that was forgotten is learned again with its next job.
            self.means.clear();
        }
        self.means.insert(lane.clone(), seconds);
    }

    /// How many leases of a lane keep `slots` busy for as long as work is held ahead.
    pub(super) fn ahead(&self, lane: &Lane, slots: usize) -> usize {
        let Some(&mean) = self.means.get(lane) else {
            return 0;
        };
        if mean >= SHORT.as_secs_f64() {
            return 0;
        }
        let per_slot = AHEAD.as_secs_f64() / mean;
        let most = AHEAD_MAX as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 0 and AHEAD_MAX"
        )]
        let n = (per_slot * slots as f64).min(most) as usize;
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lane_that_is_known_to_be_short_is_held_ahead() {
        let (mut pace, lane) = (Pace::default(), Lane::default());
        assert_eq!(pace.ahead(&lane, 2), 0);
        pace.note(&lane, Duration::from_millis(60));
        assert_eq!(pace.ahead(&lane, 2), 0);
        for _ in 0..50 {
            pace.note(&lane, Duration::from_millis(10));
        }
        assert_eq!(pace.ahead(&lane, 2), 19);
        for _ in 0..50 {
            pace.note(&lane, Duration::from_micros(100));
        }
        assert_eq!(pace.ahead(&lane, 2), AHEAD_MAX);
    }
}
