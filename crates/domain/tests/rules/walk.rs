//! Random walks: one job and what it meets, with times, agents and attempts right and wrong.
//!
//! An event's attempt is chosen when the job is at hand, mostly the live one: a walk of mere chance would never leave
//! the first state.

use proptest::prelude::*;

use domain::job::{GiveBack, Report, RunEnd, apply};
use domain::time::Timestamp;
use domain::{Cause, Job, JobEvent, JobSpec, Move, Refused, Step};

use crate::sample::{self, SUBMITTED, accepted};

/// One event met by one job.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) before: Job,
    pub(crate) event: JobEvent,
    pub(crate) now: Timestamp,
    pub(crate) answer: Result<Step<Job>, Refused>,
}

impl Visit {
    /// The change, if there was one.
    pub(crate) fn moved(&self) -> Option<&Move<Job>> {
        match &self.answer {
            Ok(Step::Moved(step)) => Some(step),
            Ok(Step::Same) | Err(_) => None,
        }
    }

    /// The job after the visit.
    pub(crate) fn after(&self) -> &Job {
        self.moved().map_or(&self.before, |step| &step.next)
    }
}

/// The attempt that a request speaks for, chosen when the job is at hand.
#[derive(Debug, Clone, Copy)]
enum Which {
    Live,
    Previous,
    Next,
    Any(u32),
}

impl Which {
    fn of(self, job: &Job) -> u32 {
        match self {
            Self::Live => job.attempt,
            Self::Previous => job.attempt.saturating_sub(1),
            Self::Next => job.attempt + 1,
            Self::Any(attempt) => attempt,
        }
    }
}

/// An event whose attempt is still open.
#[derive(Debug, Clone)]
enum Draft {
    Plain(JobEvent),
    Finished(Which, RunEnd),
    GivenBack(Which, GiveBack),
    LeaseTaken(Which, Cause),
}

impl Draft {
    fn on(&self, job: &Job) -> JobEvent {
        match self.clone() {
            Self::Plain(event) => event,
            Self::Finished(which, end) => {
                let evidence = (end == RunEnd::Succeeded).then(sample::evidence);
                JobEvent::Finished {
                    attempt: which.of(job),
                    report: Report { end, evidence },
                }
            }
            Self::GivenBack(which, why) => JobEvent::GivenBack {
                attempt: which.of(job),
                why,
            },
            Self::LeaseTaken(which, cause) => JobEvent::LeaseTaken {
                attempt: which.of(job),
                cause,
            },
        }
    }
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        6 => Just(Which::Live),
        2 => Just(Which::Previous),
        1 => Just(Which::Next),
        1 => prop_oneof![0u32..20, Just(u32::MAX)].prop_map(Which::Any),
    ]
}

/// Any failure, mostly of the machinery.
pub(crate) fn cause() -> impl Strategy<Value = Cause> {
    let text = || "[a-z]{0,5}";
    prop_oneof![
        3 => Just(Cause::LeaseLost),
        2 => prop_oneof![Just(Cause::AgentDied), Just(Cause::Disk), Just(Cause::Preempted)],
        2 => text().prop_map(|why| Cause::AgentFault { why }),
        1 => prop_oneof![Just(Cause::Timeout), Just(Cause::OutOfMemory), Just(Cause::Unplaceable)],
        1 => (1..256).prop_map(|code| Cause::Exit { code }),
        1 => text().prop_map(|path| Cause::InputMissing { path }),
    ]
}

fn run_end() -> impl Strategy<Value = RunEnd> {
    prop_oneof![
        1 => Just(RunEnd::Succeeded),
        1 => Just(RunEnd::Cancelled),
        3 => cause().prop_map(RunEnd::Failed),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let why = prop_oneof![
        Just(GiveBack::Drain),
        Just(GiveBack::HeldAhead),
        Just(GiveBack::Undelivered)
    ];
    let plain = prop_oneof![
        2 => Just(JobEvent::Due),
        2 => Just(JobEvent::Admitted),
        12 => (0u8..3).prop_map(sample::claimed),
        1 => Just(sample::cancel_requested()),
        1 => cause().prop_map(|cause| JobEvent::Rejected { cause }),
    ];
    prop_oneof![
        6 => plain.prop_map(Draft::Plain),
        2 => (which(), run_end()).prop_map(|(which, end)| Draft::Finished(which, end)),
        5 => (which(), why).prop_map(|(which, why)| Draft::GivenBack(which, why)),
        3 => (which(), cause()).prop_map(|(which, cause)| Draft::LeaseTaken(which, cause)),
    ]
}

fn spec() -> impl Strategy<Value = JobSpec> {
    let group = proptest::option::of(1u32..4);
    let not_before = proptest::option::of(0u64..200_000);
    (1u32..5, -100i8..=100, group, not_before).prop_map(|(max_attempts, priority, group, wait)| JobSpec {
        max_attempts,
        priority,
        not_before: wait.map(|ms| Timestamp(SUBMITTED.as_millis() - 100_000 + ms)),
        group: group.map(|limit| domain::job::Group {
            name: "licence".parse().expect("a group name"),
            limit,
        }),
        ..JobSpec::command(["make"])
    })
}

/// Everything that one job meets.
pub(crate) fn walk() -> impl Strategy<Value = Vec<Visit>> {
    let events = proptest::collection::vec((draft(), 0u64..200_000), 1..60);
    (spec(), events).prop_map(|(spec, events)| {
        let mut job = accepted(&spec).next;
        let mut visits = Vec::with_capacity(events.len());
        for (draft, ms) in events {
            // Clocks jump about: time is not even monotonic.
            let now = Timestamp(SUBMITTED.as_millis() - 50_000 + ms);
            let event = draft.on(&job);
            let answer = apply(&job, event.clone(), now);
            let visit = Visit {
                before: job,
                event,
                now,
                answer,
            };
            job = visit.after().clone();
            visits.push(visit);
        }
        visits
    })
}
