//! The whole behaviour of a job on two sheets: every situation against every event, as `apply` really answers.
//!
//! A snapshot, so that a change of behaviour is seen in review. `transitions` says which of it is promised.

use std::fmt::Write as _;

use domain::job::{RunEnd, apply};
use domain::{Cause, Job, JobEvent, Refused, Step};

use crate::sample::{
    NOW, agent_fault, cancel_requested, claimed, finished, given_back, lease_taken, rejected,
};
use crate::situation;

/// A column: what it is called and the event for a job at hand.
type Column = (&'static str, fn(&Job) -> JobEvent);

/// What agents and the reaper send; each names an attempt.
const LEASE: [Column; 12] = [
    ("finish: exit 0", |job| finished(job.attempt, RunEnd::Succeeded)),
    ("finish: exit 1", |job| finished(job.attempt, program())),
    ("finish: machine", |job| finished(job.attempt, machine())),
    ("finish: killed", |job| finished(job.attempt, RunEnd::Cancelled)),
    ("finish: older", |job| finished(older(job), RunEnd::Succeeded)),
    ("finish: future", |job| {
        finished(job.attempt + 1, RunEnd::Succeeded)
    }),
    ("give back", |job| given_back(job.attempt)),
    ("give back: older", |job| given_back(older(job))),
    ("take: silent", |job| lease_taken(job.attempt, Cause::LeaseLost)),
    ("take: overdue", |job| lease_taken(job.attempt, Cause::Timeout)),
    ("take: older", |job| lease_taken(older(job), Cause::LeaseLost)),
    ("take: future", |job| {
        lease_taken(job.attempt + 1, Cause::LeaseLost)
    }),
];

/// What users and the coordinator's duties send.
const REST: [Column; 5] = [
    ("due", |_| JobEvent::Due),
    ("admitted", |_| JobEvent::Admitted),
    ("claimed", |_| claimed(2)),
    ("cancel", |_| cancel_requested()),
    ("rejected", |_| rejected()),
];

fn program() -> RunEnd {
    RunEnd::Failed(Cause::Exit { code: 1 })
}

fn machine() -> RunEnd {
    RunEnd::Failed(agent_fault())
}

/// The attempt before the newest one; for a first attempt the number that no attempt has.
fn older(job: &Job) -> u32 {
    job.attempt.saturating_sub(1)
}

/// How a cell reads: the state that the job moves to, `.` for a repetition, `!` and the reason for a refusal.
fn cell(job: &Job, event: JobEvent) -> String {
    match apply(job, event, NOW) {
        Ok(Step::Moved(step)) if step.next.state.name() == job.state.name() => {
            format!("{}*", step.next.state.name())
        }
        Ok(Step::Moved(step)) => step.next.state.name().to_string(),
        Ok(Step::Same) => ".".to_owned(),
        Err(Refused::StaleLease { .. }) => "!stale".to_owned(),
        Err(Refused::NotClaimable { .. }) => "!unclaimable".to_owned(),
        Err(Refused::Ended { .. }) => "!ended".to_owned(),
        Err(Refused::Running) => "!running".to_owned(),
        Err(Refused::CancelNotRequested { .. }) => "!not asked".to_owned(),
    }
}

fn sheet(columns: &[Column]) -> String {
    let mut text = format!("{:<48}", "");
    let wide = |name: &str| name.len().max("!unclaimable".len()) + 2;
    for (name, _) in columns {
        write!(text, "{name:<0$}", wide(name)).expect("a string takes all");
    }
    for situation in situation::all() {
        write!(text, "\n{:<48}", situation.title()).expect("a string takes all");
        for (name, event) in columns {
            let cell = cell(&situation.job, event(&situation.job));
            write!(text, "{cell:<0$}", wide(name)).expect("a string takes all");
        }
    }
    text.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[test]
fn every_situation_answers_every_request_for_a_lease_as_listed() {
    insta::assert_snapshot!("lease_requests", sheet(&LEASE));
}

#[test]
fn every_situation_answers_everything_else_as_listed() {
    insta::assert_snapshot!("other_events", sheet(&REST));
}

#[test]
fn the_table_shows_every_kind_of_event() {
    let job = situation::all().swap_remove(0).job;
    let mut kinds: Vec<&str> = LEASE
        .iter()
        .chain(&REST)
        .map(|(_, event)| kind(&event(&job)))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

/// A new event does not compile until it is here; it then belongs into a sheet, too.
fn kind(event: &JobEvent) -> &'static str {
    match event {
        JobEvent::Due => "due",
        JobEvent::Admitted => "admitted",
        JobEvent::Claimed { .. } => "claimed",
        JobEvent::Finished { .. } => "finished",
        JobEvent::GivenBack { .. } => "given back",
        JobEvent::LeaseTaken { .. } => "lease taken",
        JobEvent::CancelRequested { .. } => "cancel requested",
        JobEvent::Rejected { .. } => "rejected",
    }
}
