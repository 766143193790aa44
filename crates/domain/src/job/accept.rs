//! How a job comes to be: an accepted spec, at its first place.

use crate::entity::{Followup, Move};
use crate::id::{JobId, Principal};
use crate::job::Job;
use crate::job::fact::JobFact;
use crate::job::state::{State, Waits};
use crate::lane::Lane;
use crate::spec::JobSpec;
use crate::time::Timestamp;

/// What the edge adds to a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The id that the job gets.
    pub id: JobId,
    /// Who submits it.
    pub principal: Principal,
}

/// Makes the job of a spec, with the fact that says so.
pub fn accept(spec: &JobSpec, by: Submission, now: Timestamp) -> Move<Job> {
    let spec_digest = spec.digest();
    let fact = JobFact::Submitted {
        by: by.principal.clone(),
        spec: spec_digest,
    };
    let group = spec.group.clone();
    let waits = first_wait(spec, now);
    let followups = match (&group, waits) {
        (Some(group), Waits::ForGroup) => vec![Followup::AdmitFromGroup(group.name.clone())],
        (Some(_) | None, Waits::Nothing | Waits::Until(_) | Waits::ForGroup) => Vec::new(),
    };
    let next = Job {
        id: by.id,
        name: spec.display_name(),
        principal: by.principal,
        spec_digest,
        submitted_at: now,
        lane: Lane::new(spec.resources(), spec.constraints()),
        priority: spec.priority,
        timeout: spec.timeout,
        max_attempts: spec.max_attempts,
        group,
        attempt: 0,
        charged: 0,
        given_back: 0,
        last_end: None,
        state: State::Queued { waits },
    };
    Move {
        next,
        fact,
        followups,
        ended: None,
    }
}

fn first_wait(spec: &JobSpec, now: Timestamp) -> Waits {
    match (spec.not_before, &spec.group) {
        (Some(at), _) if at > now => Waits::Until(at),
        (_, Some(_)) => Waits::ForGroup,
        (_, None) => Waits::Nothing,
    }
}
