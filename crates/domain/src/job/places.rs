//! Where a job stands in the ordered sets, from the job alone.
//!
//! A queued job stands in exactly one of its lane, `timers` or its group's queue; only a claimable job is in a lane.
//! A running job stands among its agent's leases. Every job stands in `jobs`, for listings. A job of a group that is
//! claimable or running also holds one place of the group's room: the room is a set, so no counter can drift.

use crate::entity::{Entity, Place, Places};
use crate::id::{AgentId, GroupName};
use crate::job::Job;
use crate::job::fact::JobFact;
use crate::job::state::{State, Waits};
use crate::time::Timestamp;

/// Every job of the pool, by the time of its submission.
pub const JOBS: &str = "jobs";
/// Jobs that wait for a time, by that time.
pub const TIMERS: &str = "timers";
/// The family of sets that hold the live leases of each agent, by deadline.
pub const AGENT_LEASES_FAMILY: &str = "leases";

/// Bits of a lane score that hold the time of submission: milliseconds until the year 2527.
const TIME_BITS: u32 = 44;
/// The highest priority has the lowest score.
const PRIORITY_MAX: i16 = 100;

/// The set of one agent's live leases; the score is the deadline.
pub fn leases_set(agent: &AgentId) -> String {
    format!("{AGENT_LEASES_FAMILY}/{agent}")
}

/// The set of jobs that hold a place in the group's room.
pub fn group_set(group: &GroupName) -> String {
    format!("group/{group}")
}

/// The set of jobs that wait for room in the group.
pub fn waiting_set(group: &GroupName) -> String {
    format!("waiting/{group}")
}

impl Entity for Job {
    type Fact = JobFact;

    fn places(&self) -> Places {
        let mut places = vec![(JOBS.to_owned(), Place::At(self.submitted_at.as_millis()))];
        match &self.state {
            State::Queued { waits } => places.push(self.queue_place(*waits)),
            State::Running(running) => places.push((leases_set(&running.agent.id), Place::Somewhere)),
            State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => {}
        }
        if let Some(group) = self.group.as_ref().filter(|_| self.holds_room()) {
            places.push((group_set(&group.name), Place::At(self.submitted_at.as_millis())));
        }
        let member = self.id.ulid();
        places
            .into_iter()
            .map(|(set, place)| ((set, member.to_owned()), place))
            .collect()
    }
}

impl Job {
    fn queue_place(&self, waits: Waits) -> (String, Place) {
        let turn = Place::At(lane_score(self.priority, self.submitted_at));
        match (waits, &self.group) {
            (Waits::Until(at), _) => (TIMERS.to_owned(), Place::At(at.as_millis())),
            (Waits::ForGroup, Some(group)) => (waiting_set(&group.name), turn),
            (Waits::ForGroup, None) | (Waits::Nothing, _) => (self.lane.set(), turn),
        }
    }

    /// Says whether the job takes a place in its group's room: from its admission to its end.
    pub(super) const fn holds_room(&self) -> bool {
        match &self.state {
            State::Queued {
                waits: Waits::Nothing,
            }
            | State::Running(_) => self.group.is_some(),
            State::Queued {
                waits: Waits::Until(_) | Waits::ForGroup,
            }
            | State::Succeeded { .. }
            | State::Failed { .. }
            | State::Cancelled { .. } => false,
        }
    }
}

/// Orders a lane: higher priority first, then the older submission. A job that is tried again keeps its turn.
fn lane_score(priority: i8, submitted_at: Timestamp) -> u64 {
    let band = u64::try_from(PRIORITY_MAX - i16::from(priority)).unwrap_or(0);
    (band << TIME_BITS) | submitted_at.as_millis().min((1 << TIME_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::SCORE_MAX;

    #[test]
    fn a_higher_priority_goes_before_an_older_job_and_no_score_is_too_large() {
        let (old, new) = (Timestamp(1_000), Timestamp(2_000));
        assert!(lane_score(1, new) < lane_score(0, old));
        assert!(lane_score(0, old) < lane_score(0, new));
        assert!(lane_score(-100, Timestamp(u64::MAX)) <= SCORE_MAX);
    }
}
