//! The whole behaviour of a job: what happens to a job in each state on each event.
//!
//! [`apply`] is one match on the state, with one short function per state, each an exhaustive match on the event.
//! A new state or a new event does not compile until every pair has been thought about.
//!
//! Three answers exist. The job *moves*, with exactly one fact. Or it stays the *same*, because this request was
//! carried out before: the caller answers as the first time. Or the request is *refused*, with the reason.

use crate::cause::Cause;
use crate::entity::{Followup, Move, Step};
use crate::id::Principal;
use crate::job::event::{JobEvent, Report, RunEnd};
use crate::job::fact::JobFact;
use crate::job::lease;
use crate::job::retry::{Verdict, after_failure, after_give_back};
use crate::job::state::{Attempt, AttemptEnd, CancelRequest, Evidence, Running, State, StateName, Waits};
use crate::job::{EndedBy, Job, LastEnd};
use crate::time::Timestamp;

/// Why an event does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The attempt is not the live one: its lease was taken, ended or superseded.
    #[error("attempt {presented} does not hold the lease")]
    StaleLease {
        /// The attempt that the request spoke for.
        presented: u32,
        /// The live attempt, if there is one.
        live: Option<u32>,
    },
    /// The job is not in its lane.
    #[error("the job is {state} and cannot be claimed")]
    NotClaimable {
        /// Where the job is.
        state: StateName,
    },
    /// The job has ended; it never changes again.
    #[error("the job has {state} already")]
    Ended {
        /// How it ended.
        state: StateName,
    },
    /// The job runs; only its agent, the reaper or a cancel can end it.
    #[error("the job is running")]
    Running,
    /// The agent says that it killed the run for a cancel that nobody requested.
    #[error("nobody asked to cancel attempt {attempt}")]
    CancelNotRequested {
        /// The attempt.
        attempt: u32,
    },
}

/// Applies one event to a job.
///
/// # Errors
/// [`Refused`] says why the event does not apply; nothing changes then.
pub fn apply(job: &Job, event: JobEvent, now: Timestamp) -> Result<Step<Job>, Refused> {
    match &job.state {
        State::Queued { waits } => queued(job, *waits, event, now),
        State::Running(running) => self::running(job, running, event, now),
        State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => ended(job, event),
    }
}

fn queued(job: &Job, waits: Waits, event: JobEvent, now: Timestamp) -> Result<Step<Job>, Refused> {
    match event {
        JobEvent::Due => match waits {
            Waits::Until(_) => Ok(due(job)),
            Waits::Nothing | Waits::ForGroup => Ok(Step::Same),
        },
        JobEvent::Admitted => match waits {
            Waits::ForGroup => Ok(moved(
                job,
                JobFact::Admitted,
                State::Queued {
                    waits: Waits::Nothing,
                },
            )),
            Waits::Nothing | Waits::Until(_) => Ok(Step::Same),
        },
        JobEvent::Claimed { agent } => match waits {
            Waits::Nothing => Ok(lease::claimed(job, agent, now)),
            Waits::Until(_) | Waits::ForGroup => Err(Refused::NotClaimable {
                state: StateName::Queued,
            }),
        },
        JobEvent::Finished { attempt, .. } => replay(job, attempt, EndedBy::Finish),
        JobEvent::GivenBack { attempt, .. } => replay(job, attempt, EndedBy::GiveBack),
        JobEvent::LeaseTaken { attempt, .. } => replay(job, attempt, EndedBy::Reaper),
        JobEvent::CancelRequested { by, reason } => {
            let (fact, request) = cancel_request(by, reason, now);
            Ok(moved(
                job,
                fact,
                State::Cancelled {
                    request,
                    at: now,
                    attempt: None,
                },
            ))
        }
        JobEvent::Rejected { cause } => {
            let fact = JobFact::Rejected { cause: cause.clone() };
            Ok(moved(
                job,
                fact,
                State::Failed {
                    cause,
                    at: now,
                    attempt: None,
                },
            ))
        }
    }
}

fn running(job: &Job, running: &Running, event: JobEvent, now: Timestamp) -> Result<Step<Job>, Refused> {
    match event {
        JobEvent::Due | JobEvent::Admitted => Ok(Step::Same),
        JobEvent::Claimed { .. } => Err(Refused::NotClaimable {
            state: StateName::Running,
        }),
        JobEvent::Finished { attempt, report } => match live(job, attempt) {
            Ok(()) => finished(job, running, report, now),
            Err(_) => replay(job, attempt, EndedBy::Finish),
        },
        JobEvent::GivenBack { attempt, why } => match live(job, attempt) {
            Ok(()) => Ok(given_back(job, running, JobFact::GivenBack { attempt, why }, now)),
            Err(_) => replay(job, attempt, EndedBy::GiveBack),
        },
        JobEvent::LeaseTaken { attempt, cause } => match live(job, attempt) {
            Ok(()) => {
                let fact = JobFact::LeaseTaken {
                    attempt,
                    cause: cause.clone(),
                };
                let ending = Ending {
                    by: EndedBy::Reaper,
                    fact,
                    evidence: None,
                };
                Ok(failed(job, running, cause, ending, now))
            }
            Err(_) => replay(job, attempt, EndedBy::Reaper),
        },
        JobEvent::CancelRequested { by, reason } => match running.cancel {
            Some(_) => Ok(Step::Same),
            None => {
                let (fact, request) = cancel_request(by, reason, now);
                let state = State::Running(Running {
                    cancel: Some(request),
                    ..running.clone()
                });
                Ok(moved(job, fact, state))
            }
        },
        JobEvent::Rejected { .. } => Err(Refused::Running),
    }
}

fn ended(job: &Job, event: JobEvent) -> Result<Step<Job>, Refused> {
    let state = job.state.name();
    match event {
        JobEvent::Due | JobEvent::Admitted => Ok(Step::Same),
        JobEvent::Claimed { .. } => Err(Refused::NotClaimable { state }),
        JobEvent::Finished { attempt, .. } => replay(job, attempt, EndedBy::Finish),
        JobEvent::GivenBack { attempt, .. } => replay(job, attempt, EndedBy::GiveBack),
        JobEvent::LeaseTaken { attempt, .. } => replay(job, attempt, EndedBy::Reaper),
        JobEvent::CancelRequested { .. } => match state {
            StateName::Cancelled => Ok(Step::Same),
            StateName::Queued | StateName::Running | StateName::Succeeded | StateName::Failed => {
                Err(Refused::Ended { state })
            }
        },
        JobEvent::Rejected { .. } => Err(Refused::Ended { state }),
    }
}

fn due(job: &Job) -> Step<Job> {
    let waits = if job.group.is_some() {
        Waits::ForGroup
    } else {
        Waits::Nothing
    };
    moved(job, JobFact::Due, State::Queued { waits })
}

fn finished(job: &Job, running: &Running, report: Report, now: Timestamp) -> Result<Step<Job>, Refused> {
    let fact = JobFact::Finished {
        attempt: job.attempt,
        report: report.clone(),
    };
    let ending = Ending {
        by: EndedBy::Finish,
        fact,
        evidence: report.evidence,
    };
    match (report.end, &running.cancel) {
        (RunEnd::Succeeded, _) => {
            let (fact, attempt, job) = ending.of(job, running, AttemptEnd::Succeeded, now);
            Ok(moved(&charged(job), fact, State::Succeeded { attempt }))
        }
        (RunEnd::Failed(cause), _) => Ok(failed(job, running, cause, ending, now)),
        (RunEnd::Cancelled, Some(request)) => {
            let (fact, attempt, job) = ending.of(job, running, AttemptEnd::Cancelled, now);
            Ok(moved(&charged(job), fact, cancelled(request, now, attempt)))
        }
        (RunEnd::Cancelled, None) => Err(Refused::CancelNotRequested { attempt: job.attempt }),
    }
}

fn failed(job: &Job, running: &Running, cause: Cause, ending: Ending, now: Timestamp) -> Step<Job> {
    let (fact, attempt, job) = ending.of(job, running, AttemptEnd::Failed(cause.clone()), now);
    let job = charged(job);
    let verdict = after_failure(&job, cause);
    settled(&job, running, verdict, Ended { fact, attempt, now })
}

fn given_back(job: &Job, running: &Running, fact: JobFact, now: Timestamp) -> Step<Job> {
    let ending = Ending {
        by: EndedBy::GiveBack,
        fact,
        evidence: None,
    };
    let (fact, attempt, job) = ending.of(job, running, AttemptEnd::GivenBack, now);
    let job = Job {
        given_back: job.given_back + 1,
        ..job
    };
    let verdict = after_give_back(&job);
    settled(&job, running, verdict, Ended { fact, attempt, now })
}

/// The end of an attempt, once it is settled that the attempt did not end the job well.
struct Ended {
    fact: JobFact,
    attempt: Box<Attempt>,
    now: Timestamp,
}

/// Where a job goes that did not end by itself. A requested cancel takes the place of another try.
fn settled(job: &Job, running: &Running, verdict: Verdict, ended: Ended) -> Step<Job> {
    let Ended {
        fact,
        attempt,
        now: at,
    } = ended;
    // A lease that was taken says nothing of how the program ended, whatever the reason for taking it.
    let reported = job.last_end.is_some_and(|end| end.by == EndedBy::Finish);
    let state = match (verdict, &running.cancel) {
        (Verdict::Again, None) => return again(job, fact, *attempt),
        (Verdict::Again, Some(request)) => cancelled(request, at, attempt),
        (Verdict::Over(cause), Some(request)) if !reported || !cause.is_the_programs() => {
            cancelled(request, at, attempt)
        }
        (Verdict::Over(cause), _) => State::Failed {
            cause,
            at,
            attempt: Some(attempt),
        },
    };
    moved(job, fact, state)
}

fn again(job: &Job, fact: JobFact, attempt: Attempt) -> Step<Job> {
    match moved(
        job,
        fact,
        State::Queued {
            waits: Waits::Nothing,
        },
    ) {
        Step::Moved(step) => Step::Moved(Box::new(Move {
            ended: Some(attempt),
            ..*step
        })),
        Step::Same => Step::Same,
    }
}

fn cancelled(request: &CancelRequest, at: Timestamp, attempt: Box<Attempt>) -> State {
    State::Cancelled {
        request: request.clone(),
        at,
        attempt: Some(attempt),
    }
}

/// The end of an attempt, before it is known what becomes of the job.
struct Ending {
    by: EndedBy,
    fact: JobFact,
    evidence: Option<Evidence>,
}

impl Ending {
    fn of(
        self,
        job: &Job,
        running: &Running,
        end: AttemptEnd,
        now: Timestamp,
    ) -> (JobFact, Box<Attempt>, Job) {
        let attempt = Attempt {
            number: job.attempt,
            agent: running.agent.clone(),
            started_at: running.started_at,
            ended_at: now,
            end,
            evidence: self.evidence,
        };
        let last_end = Some(LastEnd {
            attempt: job.attempt,
            by: self.by,
        });
        (
            self.fact,
            Box::new(attempt),
            Job {
                last_end,
                ..job.clone()
            },
        )
    }
}

fn charged(job: Job) -> Job {
    Job {
        charged: job.charged + 1,
        ..job
    }
}

fn cancel_request(by: Principal, reason: Option<String>, now: Timestamp) -> (JobFact, CancelRequest) {
    let fact = JobFact::CancelRequested {
        by: by.clone(),
        reason: reason.clone(),
    };
    (fact, CancelRequest { by, at: now, reason })
}

const fn live(job: &Job, attempt: u32) -> Result<(), ()> {
    if job.attempt == attempt { Ok(()) } else { Err(()) }
}

/// A request for an attempt that is not live: known for a repetition, or stale.
fn replay(job: &Job, attempt: u32, by: EndedBy) -> Result<Step<Job>, Refused> {
    if job.last_end == Some(LastEnd { attempt, by }) {
        return Ok(Step::Same);
    }
    let live = matches!(job.state, State::Running(_)).then_some(job.attempt);
    Err(Refused::StaleLease {
        presented: attempt,
        live,
    })
}

/// Builds the step to `state`. A job that leaves its group's room makes the group's next job due for admission.
pub(super) fn moved(job: &Job, fact: JobFact, state: State) -> Step<Job> {
    let held_room = job.holds_room();
    let next = Job { state, ..job.clone() };
    let waits_for_room = matches!(
        next.state,
        State::Queued {
            waits: Waits::ForGroup
        }
    );
    let admit = (held_room && !next.holds_room()) || waits_for_room;
    let followups = next
        .group
        .iter()
        .filter(|_| admit)
        .map(|group| Followup::AdmitFromGroup(group.name.clone()))
        .collect();
    Step::Moved(Box::new(Move {
        next,
        fact,
        followups,
        ended: None,
    }))
}
