//! When a lease may be taken from a silent agent.
//!
//! Time alone never ends a lease: the reaper takes it, and only when it can trust its own sense of time. Each tick
//! leaves a beat. A reaper that finds the last beat old was itself away (nexus down, no coordinator, a stepped clock,
//! a failover), so agents may have had nobody to renew with: it takes nothing and grants everybody one more TTL.

use std::time::Duration;

use crate::job::{Job, State};
use crate::time::Timestamp;

/// Time between two ticks of a reaper, when no lease is so short that it needs more.
const TICK_MAX: Duration = Duration::from_secs(1);
/// The shortest time between two ticks.
const TICK_MIN: Duration = Duration::from_millis(250);
/// A beat older than this was missed, however long leases live.
pub const BEAT_GAP_MAX: Duration = Duration::from_secs(5);
/// A beat that is younger was not missed, however short leases live: a busy machine may be late for a tick or two.
const BEAT_GAP_MIN: Duration = Duration::from_millis(1_500);
/// How long after its timeout a run may take to be ended by its agent, before the coordinator takes the lease.
pub const BACKSTOP: Duration = Duration::from_secs(120);

/// What reapers know of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Beat {
    /// When a reaper last ticked.
    pub at: Timestamp,
    /// No lease is taken before then.
    pub grace_until: Timestamp,
}

/// What a reaper does with this tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReapPlan {
    /// Take nothing and record that nothing may be taken before `until`.
    Grace {
        /// The end of the grace.
        until: Timestamp,
    },
    /// A grace runs: take nothing.
    Wait,
    /// Another reaper ticked a moment ago: its tick is enough for all.
    Rest,
    /// Take what is overdue.
    Reap,
}

/// Time between two ticks of each reaper. `ttl_max` is the longest TTL that any agent of the pool may have.
pub fn reap_every(ttl_max: Duration) -> Duration {
    (ttl_max / 6).clamp(TICK_MIN, TICK_MAX)
}

/// How old the last beat may be before it tells of an outage. Agents renew every third of a TTL, so an outage of this
/// length leaves them another third to renew in, and after a longer one everybody gets a grace.
pub fn beat_gap(ttl_max: Duration) -> Duration {
    (ttl_max / 3).clamp(BEAT_GAP_MIN, BEAT_GAP_MAX)
}

/// Decides what a tick at `now` may do. `ttl_max` is the longest TTL that any agent of the pool may have.
pub fn plan_beat(last: Option<Beat>, now: Timestamp, ttl_max: Duration) -> ReapPlan {
    match last {
        Some(beat) if now.since(beat.at).max(beat.at.since(now)) > beat_gap(ttl_max) => ReapPlan::Grace {
            until: now.plus(ttl_max),
        },
        // Of several reapers that tick by their own jittered clocks, about one in each period goes on from here. Their
        // clocks may differ by a little, so a beat may be from a moment that has yet to come.
        Some(beat) if now.since(beat.at) < reap_every(ttl_max) * 3 / 4 => ReapPlan::Rest,
        Some(beat) if now < beat.grace_until => ReapPlan::Wait,
        Some(_) => ReapPlan::Reap,
        None => ReapPlan::Grace {
            until: now.plus(ttl_max),
        },
    }
}

/// Says whether a run whose agent still renews has gone on for too long: for its timeout and [`BACKSTOP`].
///
/// `ran` is how long the command has run, by the agent's own clock and without the time that it was suspended: no clock
/// of the coordinator can end a healthy run. The agent enforces the timeout itself; this is for an agent that fails to.
/// A silent agent is another matter: its lease ends by its deadline.
pub fn has_overrun(job: &Job, ran: Duration) -> bool {
    match &job.state {
        State::Running(_) => ran >= job.timeout.duration().saturating_add(BACKSTOP),
        State::Queued { .. } | State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn beat(at: u64, grace_until: u64) -> Option<Beat> {
        Some(Beat {
            at: Timestamp(at),
            grace_until: Timestamp(grace_until),
        })
    }

    #[test]
    fn a_reaper_that_was_away_grants_a_grace_of_one_longest_ttl() {
        let grace = ReapPlan::Grace {
            until: Timestamp(130_000),
        };
        assert_eq!(plan_beat(None, Timestamp(100_000), TTL), grace);
        assert_eq!(plan_beat(beat(94_999, 0), Timestamp(100_000), TTL), grace);
    }

    #[test]
    fn a_clock_that_stepped_back_is_a_gap_too() {
        assert!(matches!(
            plan_beat(beat(200_000, 0), Timestamp(100_000), TTL),
            ReapPlan::Grace { .. }
        ));
    }

    #[test]
    fn a_gap_is_told_before_it_can_make_a_lease_overdue() {
        // A renewal may be a third of a TTL old when the gap begins.
        for secs in [5, 6, 10, 30, 600] {
            let ttl = Duration::from_secs(secs);
            assert!(ttl / 3 + beat_gap(ttl) <= ttl * 2 / 3, "{ttl:?}");
        }
        let short = Duration::from_secs(4);
        let late = ReapPlan::Grace {
            until: Timestamp(104_000),
        };
        assert_eq!(plan_beat(beat(98_499, 0), Timestamp(100_000), short), late);
    }

    #[test]
    fn a_tick_right_after_another_reapers_is_none() {
        assert_eq!(
            plan_beat(beat(100_400, 0), Timestamp(100_000), TTL),
            ReapPlan::Rest
        );
        assert_eq!(
            plan_beat(beat(99_300, 0), Timestamp(100_000), TTL),
            ReapPlan::Rest
        );
        assert_eq!(
            plan_beat(beat(99_250, 0), Timestamp(100_000), TTL),
            ReapPlan::Reap
        );
    }

    #[test]
    fn leases_are_taken_only_outside_of_a_grace() {
        assert_eq!(
            plan_beat(beat(99_000, 100_001), Timestamp(100_000), TTL),
            ReapPlan::Wait
        );
        assert_eq!(
            plan_beat(beat(99_000, 100_000), Timestamp(100_000), TTL),
            ReapPlan::Reap
        );
    }
}
