//! A job in every situation that the rules tell apart, reached by real events only.
//!
//! Each situation has a name that reads well after "a job that is ..", used by the table and by the generated page.

use domain::job::{GIVEN_BACK_MAX, RunEnd, StateName};
use domain::{Cause, Job, JobEvent};

use crate::sample::{
    accepted, after, agent_fault, cancel_requested, claimed, finished, given_back, lease_taken, rejected,
    spec,
};

/// A job and how it came to be as it is.
pub(crate) struct Situation {
    /// The part of the state's behaviour that it stands for; empty for the plain case.
    pub(crate) case: &'static str,
    pub(crate) job: Job,
}

impl Situation {
    pub(crate) fn state(&self) -> StateName {
        self.job.state.name()
    }

    /// State and case, for a table.
    pub(crate) fn title(&self) -> String {
        format!("{}: {}", self.state(), self.case)
    }
}

/// All of them, in the order of a job's life.
pub(crate) fn all() -> Vec<Situation> {
    [queued(), running(), ended()].into_iter().flatten().collect()
}

fn queued() -> Vec<Situation> {
    let later = "not_before = \"2027-01-01T00:00:00Z\"";
    let group = "[group]\nname = \"licence\"\nlimit = 2";
    let twice = || fresh("max_attempts = 2");
    vec![
        case("in its lane", fresh("")),
        case("waits for its time", fresh(later)),
        case(
            "waits for its time, in a group",
            fresh(&format!("{later}\n{group}")),
        ),
        case("waits for its group", fresh(group)),
        case("admitted by its group", after(fresh(group), [JobEvent::Admitted])),
        case(
            "again, its lease was taken",
            after(twice(), [claimed(1), lease_taken(1, Cause::LeaseLost)]),
        ),
        case(
            "again, its agent failed",
            after(twice(), [claimed(1), failed(1, agent_fault())]),
        ),
        case("again, given back", after(twice(), [claimed(1), given_back(1)])),
    ]
}

fn running() -> Vec<Situation> {
    let last = || after(fresh(""), [claimed(1)]);
    let spare = || after(fresh("max_attempts = 2"), [claimed(1)]);
    vec![
        case("on the last attempt", last()),
        case("with an attempt left", spare()),
        case(
            "cancel requested, on the last attempt",
            after(last(), [cancel_requested()]),
        ),
        case(
            "cancel requested, with an attempt left",
            after(spare(), [cancel_requested()]),
        ),
        case("given back 16 times", worn_out()),
        case(
            "given back 16 times, cancel requested",
            after(worn_out(), [cancel_requested()]),
        ),
        case(
            "again, its first lease was taken",
            after(spare(), [lease_taken(1, Cause::LeaseLost), claimed(2)]),
        ),
    ]
}

fn ended() -> Vec<Situation> {
    let started = || after(fresh(""), [claimed(1)]);
    vec![
        case(
            "by its agent's report",
            after(started(), [finished(1, RunEnd::Succeeded)]),
        ),
        case(
            "by its agent's report",
            after(started(), [failed(1, Cause::Exit { code: 1 })]),
        ),
        case(
            "by the reaper",
            after(started(), [lease_taken(1, Cause::LeaseLost)]),
        ),
        case("before it ever ran", after(fresh(""), [rejected()])),
        case("before it ever ran", after(fresh(""), [cancel_requested()])),
        case(
            "while it ran",
            after(started(), [cancel_requested(), finished(1, RunEnd::Cancelled)]),
        ),
    ]
}

/// A running job that was given back as often as is allowed.
fn worn_out() -> Job {
    let rounds = (1..=GIVEN_BACK_MAX).flat_map(|attempt| [claimed(1), given_back(attempt)]);
    after(fresh(""), rounds.chain([claimed(1)]))
}

fn failed(attempt: u32, cause: Cause) -> JobEvent {
    finished(attempt, RunEnd::Failed(cause))
}

fn fresh(fields: &str) -> Job {
    accepted(&spec(fields)).next
}

fn case(case: &'static str, job: Job) -> Situation {
    Situation { case, job }
}
