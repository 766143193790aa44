//! When a lease may be taken from a silent agent.
//!
//! Time alone never ends a lease: the reaper takes it, and only when it can trust its own sense of time. Each tick
//! leaves a beat. A reaper that finds the last beat old was itself away (nexus down, no coordinator, a stepped clock,
//! a failover), so agents may have had nobody to renew with: it takes nothing and grants everybody one more TTL.

use std::time::Duration;

use crate::job::{Job, State};
use crate::time::Timestamp;

/// A beat older than this was missed: reapers tick once a second.
pub const BEAT_GAP_MAX: Duration = Duration::from_secs(5);
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
    /// Take what is overdue.
    Reap,
}

/// Decides what a tick at `now` may do. `ttl_max` is the longest TTL that any agent of the pool may have.
pub fn plan_beat(last: Option<Beat>, now: Timestamp, ttl_max: Duration) -> ReapPlan {
    match last {
        Some(beat) if now < beat.at || now.since(beat.at) > BEAT_GAP_MAX => ReapPlan::Grace {
            until: now.plus(ttl_max),
        },
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
