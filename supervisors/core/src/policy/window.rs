//! The restart intensity: how many restarts the recent past holds.
//!
//! The one idea: exactly OTP's `add_restart`. The window is closed at both ends, a refused restart is counted too,
//! and one sweep over several children is one restart.

use std::collections::VecDeque;
use std::time::Instant;

use crate::spec::Intensity;

pub(crate) struct Window {
    intensity: Intensity,
    /// Never more than `max + 1` entries.
    restarts: VecDeque<Instant>,
}

impl Window {
    pub(crate) fn new(intensity: Intensity) -> Self {
        Self {
            intensity,
            restarts: VecDeque::new(),
        }
    }

    /// Counts a restart and returns whether it is allowed.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        let within = self.intensity.within;
        self.restarts
            .retain(|at| now.saturating_duration_since(*at) <= within);
        self.restarts.push_back(now);
        self.restarts.len() <= self.intensity.max as usize
    }

    pub(crate) fn restarts(&self) -> impl Iterator<Item = Instant> {
        self.restarts.iter().copied()
    }
}
