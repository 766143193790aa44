//! Noticing that the nexus may have forgotten something.
//!
//! Coordinators say with some replies which life of the nexus they talk to. Another one than before means that it was
//! restarted or replaced, and what it acknowledged last may be gone. Then this process says again what it holds and what
//! it reported lately ([`crate::announce`]). A coordinator that has not noticed yet names the old era for a moment: an era
//! that was left a short while ago is no news. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two announcements.
pub(crate) const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);
/// How long a coordinator may go on naming an era that is over.
pub(crate) const LAG_MAX: Duration = Duration::from_secs(30);
/// Eras that are remembered as over.
const LEFT_MAX: usize = 16;

/// What is known of the era.
#[derive(Debug, Default)]
pub(crate) struct Era {
    current: Option<String>,
    left: Vec<(String, Instant)>,
    /// An announcement is due that came too soon after the last one.
    owed: bool,
    announced_at: Option<Instant>,
}

impl Era {
    /// A coordinator named an era. Says whether everything is to be announced again now.
    pub(crate) fn heard(&mut self, era: &str, now: Instant) -> bool {
        self.left.retain(|(_, at)| now.duration_since(*at) < LAG_MAX);
        let is_over = self.left.iter().any(|(left, _)| left == era);
        match &mut self.current {
            None => self.current = Some(era.to_owned()),
            Some(current) if current != era && !is_over => {
                let over = std::mem::replace(current, era.to_owned());
                self.left.push((over, now));
                if self.left.len() > LEFT_MAX {
                    self.left.remove(0);
                }
                self.owed = true;
            }
            Some(_) => {}
        }
        let may = self
            .announced_at
            .is_none_or(|at| now.duration_since(at) >= ANNOUNCE_EVERY);
        let announce = self.owed && may;
        if announce {
            self.owed = false;
            self.announced_at = Some(now);
        }
        announce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn another_era_is_announced_once_and_a_coordinator_that_lags_behind_is_not_believed() {
        let now = Instant::now();
        let mut era = Era::default();
        assert!(!era.heard("a", now) && !era.heard("a", now));
        assert!(era.heard("b", now));
        for n in 1..29 {
            assert!(!era.heard(["a", "b"][n % 2], now + SECOND * u32::try_from(n).unwrap()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_era_that_comes_back_later_is_another_one() {
        let now = Instant::now();
        let mut era = Era::default();
        era.heard("a", now);
        assert!(era.heard("b", now));
        assert!(era.heard("a", now + LAG_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn eras_that_follow_in_quick_succession_are_announced_together_and_none_is_missed() {
        let now = Instant::now();
        let mut era = Era::default();
        era.heard("a", now);
        assert!(era.heard("b", now));
        assert!(!era.heard("c", now + SECOND) && !era.heard("d", now + 2 * SECOND));
        assert!(!era.heard("d", now + 4 * SECOND));
        assert!(era.heard("d", now + ANNOUNCE_EVERY));
        assert!(!era.heard("d", now + 9 * ANNOUNCE_EVERY));
    }
}
