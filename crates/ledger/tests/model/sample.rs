//! The fixed values of the model: its pool, its jobs, its agents.

use domain::job::{Report, Submission, accept};
use domain::{AgentRef, Digest, Job, JobEvent, JobId, JobSpec, Move, Principal, Resources, Timestamp};
use domain::{Offer, plan::Seeker};

use crate::bounds::{Bounds, End, TICK};

/// The agents' slots: one lease at a time keeps the states few.
const SLOTS: usize = 1;

/// The time of a tick by the nexus's clock.
pub(crate) fn time(tick: u64) -> Timestamp {
    Timestamp(0).plus(TICK * u32::try_from(tick).expect("a path has few ticks"))
}

/// The id of the `n`-th job.
pub(crate) fn job_id(n: usize) -> JobId {
    format!("model-01k2b3c4d5e6f7g8h9j0kmnpq{n}")
        .parse()
        .expect("a job id")
}

/// The `n`-th agent in its `process`-th life.
pub(crate) fn agent(n: usize, process: u8) -> AgentRef {
    AgentRef {
        id: format!("01k2b3c4d5e6f7g8h9j0kmna{process}{n}")
            .parse()
            .expect("an agent id"),
        name: format!("forge-{n}").parse().expect("an agent name"),
        fingerprint: Digest::of(b"forge"),
    }
}

/// What an agent with an open slot asks for.
pub(crate) fn seeker() -> Seeker {
    let offer = Offer {
        labels: Default::default(),
        capacity: Resources::default(),
        free: Resources::default(),
        draining: false,
    };
    Seeker {
        offer,
        slots: SLOTS,
        ahead: None,
    }
}

/// The `n`-th job and its spec, as accepted.
pub(crate) fn accepted(n: usize, bounds: &Bounds, tick: u64) -> (Move<Job>, JobSpec) {
    let spec = JobSpec {
        max_attempts: bounds.max_attempts,
        ..JobSpec::command(["true"])
    };
    let by = Submission {
        id: job_id(n),
        principal: principal(),
    };
    (accept(&spec, by, time(tick)), spec)
}

/// Who submits and cancels.
pub(crate) fn principal() -> Principal {
    "alice".parse().expect("a principal")
}

/// The report of an attempt. What it left is of no interest here.
pub(crate) fn finished(attempt: u32, end: End) -> JobEvent {
    let report = Report {
        end: end.run_end(),
        evidence: None,
    };
    JobEvent::Finished { attempt, report }
}
