//! Fixed values for tests: one agent or another, one report or another, and events without their boilerplate.

use domain::job::{Evidence, GiveBack, Report, RunEnd, Submission, Usage, accept};
use domain::time::Timestamp;
use domain::units::Span;
use domain::{AgentRef, Cause, Digest, Entity as _, Job, JobEvent, JobSpec, Move, Step};

/// When every sample job is submitted.
pub(crate) const SUBMITTED: Timestamp = Timestamp(1_795_000_000_000);
/// When things happen to it afterwards.
pub(crate) const NOW: Timestamp = Timestamp(1_795_000_060_000);

/// The spec of a job that needs nothing.
pub(crate) fn spec(fields: &str) -> JobSpec {
    JobSpec::from_toml(&format!("command = [\"make\", \"test\"]\n{fields}")).expect("a sample spec is valid")
}

/// The job of a spec, as accepted.
pub(crate) fn accepted(spec: &JobSpec) -> Move<Job> {
    let by = Submission {
        id: "default-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().expect("a job id"),
        principal: "alice".parse().expect("a principal"),
    };
    accept(spec, by, SUBMITTED)
}

/// One of two agent processes: any `n` below 10.
pub(crate) fn agent(n: u8) -> AgentRef {
    AgentRef {
        id: format!("01k2b3c4d5e6f7g8h9j0kmnpq{n}")
            .parse()
            .expect("an agent id"),
        name: format!("forge-{n}").parse().expect("an agent name"),
        fingerprint: Digest::of(&[n]),
    }
}

/// What a run left behind.
pub(crate) fn evidence() -> Evidence {
    Evidence {
        log_bytes: 1234,
        log_digest: Digest::of(b"log"),
        artifacts: 2,
        ran: Span::from_millis(4200),
        usage: Usage {
            cpu_ms: 3900,
            peak_memory_bytes: 64 << 20,
        },
    }
}

/// The machinery failed; the agent says how.
pub(crate) fn agent_fault() -> Cause {
    Cause::AgentFault {
        why: "the vault refused an artifact".to_owned(),
    }
}

/// Every cause once.
pub(crate) fn causes() -> Vec<Cause> {
    let text = || "x".to_owned();
    vec![
        Cause::Exit { code: 255 },
        Cause::Signal { signal: 9 },
        Cause::Timeout,
        Cause::OutOfMemory,
        Cause::ArtifactMissing { glob: text() },
        Cause::ArtifactRefused { why: text() },
        Cause::CannotStart { why: text() },
        Cause::InputMissing { path: text() },
        Cause::Unplaceable,
        Cause::LeaseLost,
        Cause::AgentDied,
        Cause::Disk,
        Cause::AgentFault { why: text() },
        Cause::Preempted,
    ]
}

pub(crate) fn claimed(n: u8) -> JobEvent {
    JobEvent::Claimed { agent: agent(n) }
}

pub(crate) fn finished(attempt: u32, end: RunEnd) -> JobEvent {
    let evidence = Some(evidence());
    JobEvent::Finished {
        attempt,
        report: Report { end, evidence },
    }
}

pub(crate) fn given_back(attempt: u32) -> JobEvent {
    JobEvent::GivenBack {
        attempt,
        why: GiveBack::Drain,
    }
}

pub(crate) fn lease_taken(attempt: u32, cause: Cause) -> JobEvent {
    JobEvent::LeaseTaken { attempt, cause }
}

pub(crate) fn cancel_requested() -> JobEvent {
    JobEvent::CancelRequested {
        by: "bob".parse().expect("a principal"),
        reason: Some("not needed".to_owned()),
    }
}

pub(crate) fn rejected() -> JobEvent {
    JobEvent::Rejected {
        cause: Cause::InputMissing {
            path: "data.bin".to_owned(),
        },
    }
}

/// Applies an event that must be accepted.
pub(crate) fn step(job: &Job, event: JobEvent) -> Move<Job> {
    let told = format!("{event:?}");
    match domain::job::apply(job, event, NOW) {
        Ok(Step::Moved(step)) => *step,
        other => panic!(
            "{told} should move a job that is {}, but: {other:?}",
            job.state.name()
        ),
    }
}

/// The job after these events, each of which must be accepted.
pub(crate) fn after(job: Job, events: impl IntoIterator<Item = JobEvent>) -> Job {
    events.into_iter().fold(job, |job, event| step(&job, event).next)
}

/// The names of the ordered sets in which a job stands.
pub(crate) fn sets(job: &Job) -> Vec<String> {
    job.places().into_keys().map(|(set, _)| set).collect()
}
