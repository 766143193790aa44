//! The transition table of the design, one test for each of its rows.
//!
//! Each test names its row, drives a job to it and looks at the state, the fact and what is kept of the attempt.

use domain::job::{
    AttemptEnd, CancelRequest, EndedBy, GIVEN_BACK_MAX, GiveBack, LastEnd, Report, RunEnd, State, StateName,
    Waits, apply,
};
use domain::{Cause, Followup, Job, JobEvent, JobFact, Refused};

use crate::sample::{
    NOW, SUBMITTED, accepted, after, agent, agent_fault, cancel_requested, claimed, evidence, finished,
    given_back, lease_taken, rejected, spec, step,
};

const LANE: State = State::Queued {
    waits: Waits::Nothing,
};
/// Every failure of the machinery.
fn machine_failures() -> Vec<Cause> {
    vec![
        Cause::LeaseLost,
        Cause::AgentDied,
        Cause::Disk,
        agent_fault(),
        Cause::Preempted,
    ]
}

/// Every failure that is the program's own.
fn program_failures() -> Vec<Cause> {
    let text = || "x".to_owned();
    vec![
        Cause::Exit { code: 1 },
        Cause::Signal { signal: 11 },
        Cause::Timeout,
        Cause::OutOfMemory,
        Cause::ArtifactMissing { glob: text() },
        Cause::ArtifactRefused { why: text() },
        Cause::CannotStart { why: text() },
        Cause::InputMissing { path: text() },
    ]
}

fn running(fields: &str) -> Job {
    after(accepted(&spec(fields)).next, [claimed(1)])
}

fn cancelling(fields: &str) -> Job {
    after(running(fields), [cancel_requested()])
}

fn failed(attempt: u32, cause: Cause) -> JobEvent {
    finished(attempt, RunEnd::Failed(cause))
}

fn request() -> CancelRequest {
    CancelRequest {
        by: "bob".parse().expect("a principal"),
        at: NOW,
        reason: Some("not needed".to_owned()),
    }
}

#[test]
fn nothing_to_queued_a_submit_was_accepted() {
    let spec = spec("");
    let made = accepted(&spec);
    assert_eq!(made.next.state, LANE);
    assert_eq!(
        (made.next.attempt, made.next.charged, made.next.given_back),
        (0, 0, 0)
    );
    assert_eq!(
        (made.next.submitted_at, made.next.spec_digest),
        (SUBMITTED, spec.digest())
    );
    assert_eq!(
        made.fact,
        JobFact::Submitted {
            by: "alice".parse().unwrap(),
            spec: spec.digest()
        }
    );
    assert_eq!((made.followups, made.ended), (vec![], None));
}

#[test]
fn a_new_job_waits_for_its_time_first_and_for_its_group_then() {
    let made = accepted(&spec(
        "not_before = \"2027-01-01T00:00:00Z\"\ngroup = { name = \"g\", limit = 1 }",
    ));
    let later = "2027-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(
        made.next.state,
        State::Queued {
            waits: Waits::Until(later)
        }
    );
    assert_eq!(made.followups, []);

    let due = step(&made.next, JobEvent::Due);
    assert_eq!(
        (&due.next.state, due.fact),
        (
            &State::Queued {
                waits: Waits::ForGroup
            },
            JobFact::Due
        )
    );
    assert_eq!(due.followups, [Followup::AdmitFromGroup("g".parse().unwrap())]);

    let admitted = step(&due.next, JobEvent::Admitted);
    assert_eq!((admitted.next.state, admitted.fact), (LANE, JobFact::Admitted));
}

#[test]
fn a_time_that_has_passed_at_submit_is_not_waited_for() {
    let made = accepted(&spec("not_before = \"2026-01-01T00:00:00Z\""));
    assert_eq!(made.next.state, LANE);
}

#[test]
fn queued_to_running_a_claim_was_committed() {
    let step = step(&accepted(&spec("")).next, claimed(1));
    let State::Running(running) = &step.next.state else {
        panic!("{:?}", step.next.state)
    };
    assert_eq!(
        (&running.agent, running.started_at, &running.cancel),
        (&agent(1), NOW, &None)
    );
    assert_eq!((step.next.attempt, step.next.charged), (1, 0));
    assert_eq!(
        step.fact,
        JobFact::Claimed {
            attempt: 1,
            agent: agent(1)
        }
    );
}

#[test]
fn queued_to_cancelled_somebody_asked() {
    for fields in [
        "",
        "not_before = \"2027-01-01T00:00:00Z\"",
        "group = { name = \"g\", limit = 1 }",
    ] {
        let step = step(&accepted(&spec(fields)).next, cancel_requested());
        assert_eq!(
            step.next.state,
            State::Cancelled {
                request: request(),
                at: NOW,
                attempt: None
            }
        );
        let CancelRequest { by, reason, .. } = request();
        assert_eq!(step.fact, JobFact::CancelRequested { by, reason });
    }
}

#[test]
fn queued_to_failed_it_can_never_run() {
    let cause = Cause::InputMissing {
        path: "data.bin".to_owned(),
    };
    let step = step(&accepted(&spec("")).next, rejected());
    assert_eq!(
        step.next.state,
        State::Failed {
            cause: cause.clone(),
            at: NOW,
            attempt: None
        }
    );
    assert_eq!(step.fact, JobFact::Rejected { cause });
    assert_eq!(step.next.charged, 0);
}

#[test]
fn running_to_succeeded_the_agent_reported_it() {
    let step = step(&running(""), finished(1, RunEnd::Succeeded));
    assert_eq!(step.next.state.name(), StateName::Succeeded);
    let attempt = step.next.state.final_attempt().unwrap();
    assert_eq!((attempt.number, &attempt.end), (1, &AttemptEnd::Succeeded));
    assert_eq!(
        (attempt.started_at, attempt.ended_at, attempt.evidence.clone()),
        (NOW, NOW, Some(evidence()))
    );
    let report = Report {
        end: RunEnd::Succeeded,
        evidence: Some(evidence()),
    };
    assert_eq!(step.fact, JobFact::Finished { attempt: 1, report });
    assert_eq!((step.next.charged, step.ended), (1, None));
}

#[test]
fn running_to_failed_a_programs_own_failure_is_never_retried() {
    for cause in program_failures() {
        let step = step(&running("max_attempts = 20"), failed(1, cause.clone()));
        assert!(
            matches!(&step.next.state, State::Failed { cause: found, .. } if *found == cause),
            "{cause}"
        );
        assert_eq!(
            step.next.state.final_attempt().unwrap().end,
            AttemptEnd::Failed(cause)
        );
    }
}

#[test]
fn running_to_failed_the_machinery_failed_and_no_attempt_is_left() {
    for cause in machine_failures() {
        for event in [failed(1, cause.clone()), lease_taken(1, cause.clone())] {
            let step = step(&running(""), event);
            assert!(
                matches!(&step.next.state, State::Failed { cause: found, .. } if *found == cause),
                "{cause}"
            );
            assert_eq!((step.next.charged, step.ended), (1, None));
        }
    }
}

#[test]
fn running_to_queued_the_machinery_failed_and_an_attempt_is_left() {
    for cause in machine_failures() {
        for (event, by) in [
            (failed(1, cause.clone()), EndedBy::Finish),
            (lease_taken(1, cause.clone()), EndedBy::Reaper),
        ] {
            let step = step(&running("max_attempts = 2"), event);
            assert_eq!(step.next.state, LANE, "{cause}");
            assert_eq!((step.next.attempt, step.next.charged), (1, 1));
            assert_eq!(step.next.last_end, Some(LastEnd { attempt: 1, by }));
            let ended = step.ended.unwrap();
            assert_eq!((ended.number, ended.end), (1, AttemptEnd::Failed(cause.clone())));
        }
    }
}

#[test]
fn running_to_queued_a_lease_given_back_is_not_charged() {
    let step = step(&running(""), given_back(1));
    assert_eq!(step.next.state, LANE);
    assert_eq!(
        (step.next.attempt, step.next.charged, step.next.given_back),
        (1, 0, 1)
    );
    assert_eq!(step.ended.unwrap().end, AttemptEnd::GivenBack);
    assert_eq!(
        step.fact,
        JobFact::GivenBack {
            attempt: 1,
            why: GiveBack::Drain
        }
    );
}

#[test]
fn running_to_failed_a_job_given_back_too_often_is_given_up() {
    let mut job = running("");
    for attempt in 1..=GIVEN_BACK_MAX {
        job = after(job, [given_back(attempt), claimed(1)]);
    }
    let step = step(&job, given_back(GIVEN_BACK_MAX + 1));
    assert!(matches!(
        step.next.state,
        State::Failed {
            cause: Cause::Unplaceable,
            ..
        }
    ));
    assert_eq!((step.next.given_back, step.next.charged), (17, 0));
}

#[test]
fn running_to_cancelled_the_agent_confirmed_the_kill() {
    let asked = step(&running("max_attempts = 2"), cancel_requested());
    assert_eq!(asked.next.state.name(), StateName::Running);
    let step = step(&asked.next, finished(1, RunEnd::Cancelled));
    let State::Cancelled {
        request: found,
        attempt: Some(attempt),
        ..
    } = &step.next.state
    else {
        panic!("{:?}", step.next.state)
    };
    assert_eq!((found, &attempt.end), (&request(), &AttemptEnd::Cancelled));
}

#[test]
fn running_to_cancelled_the_reaper_took_the_lease_of_a_job_to_cancel() {
    for cause in [Cause::LeaseLost, Cause::Timeout] {
        for fields in ["", "max_attempts = 2"] {
            let step = step(&cancelling(fields), lease_taken(1, cause.clone()));
            assert_eq!(step.next.state.name(), StateName::Cancelled, "{cause}, {fields}");
            let end = AttemptEnd::Failed(cause.clone());
            assert_eq!(step.next.state.final_attempt().unwrap().end, end);
        }
    }
}

#[test]
fn running_to_cancelled_whatever_would_have_queued_it_again() {
    for event in [given_back(1), failed(1, agent_fault())] {
        let step = step(&cancelling("max_attempts = 2"), event);
        assert_eq!(step.next.state.name(), StateName::Cancelled);
    }
}

#[test]
fn a_finish_that_arrives_before_the_cancel_takes_effect_decides() {
    let won = step(&cancelling(""), finished(1, RunEnd::Succeeded));
    assert_eq!(won.next.state.name(), StateName::Succeeded);
    for cause in program_failures() {
        let lost = step(&cancelling("max_attempts = 2"), failed(1, cause));
        assert_eq!(lost.next.state.name(), StateName::Failed);
    }
}

#[test]
fn an_agent_cannot_cancel_what_nobody_asked_to_cancel() {
    let refused = apply(&running(""), finished(1, RunEnd::Cancelled), NOW);
    assert_eq!(refused, Err(Refused::CancelNotRequested { attempt: 1 }));
}

#[test]
fn a_stale_attempt_is_told_which_one_is_live() {
    let job = after(
        running("max_attempts = 2"),
        [lease_taken(1, Cause::LeaseLost), claimed(2)],
    );
    let refused = apply(&job, finished(1, RunEnd::Succeeded), NOW);
    assert_eq!(
        refused,
        Err(Refused::StaleLease {
            presented: 1,
            live: Some(2)
        })
    );
    let queued = after(job, [given_back(2)]);
    let refused = apply(&queued, finished(1, RunEnd::Succeeded), NOW);
    assert_eq!(
        refused,
        Err(Refused::StaleLease {
            presented: 1,
            live: None
        })
    );
}

#[test]
fn a_job_that_is_tried_again_keeps_its_place_in_the_group() {
    let group = "max_attempts = 2\ngroup = { name = \"g\", limit = 1 }";
    let job = after(accepted(&spec(group)).next, [JobEvent::Admitted, claimed(1)]);
    let again = step(&job, lease_taken(1, Cause::LeaseLost));
    assert_eq!((&again.next.state, &again.followups), (&LANE, &vec![]));
    let over = step(&after(again.next, [claimed(2)]), finished(2, RunEnd::Succeeded));
    assert_eq!(over.followups, [Followup::AdmitFromGroup("g".parse().unwrap())]);
}
