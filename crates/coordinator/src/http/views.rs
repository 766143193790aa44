//! From records to what is shown. Explicit, field by field: nothing of a record is on the wire by accident.

use domain::job::{Attempt, AttemptEnd, State};
use domain::{Cause, Digest, Job, JobFact, JobSpec};
use ledger::JournalEntry;
use protocol::jobs::{AttemptView, CancelView, EventView, JobView};

/// A job without its spec and attempts, as lists show it.
pub(super) fn job(job: &Job) -> JobView {
    let last = job.state.final_attempt();
    let running = match &job.state {
        State::Running(running) => Some(running),
        State::Queued { .. } | State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => {
            None
        }
    };
    let agent = running
        .map(|running| &running.agent)
        .or_else(|| last.map(|attempt| &attempt.agent));
    let cause = cause(&job.state);
    JobView {
        id: job.id.clone(),
        name: job.name.clone(),
        state: job.state.name(),
        principal: job.principal.clone(),
        submitted_at: job.submitted_at,
        priority: job.priority,
        group: job.group.as_ref().map(|group| group.name.clone()),
        attempt: job.attempt,
        charged: job.charged,
        max_attempts: job.max_attempts,
        agent: agent.map(|agent| agent.name.clone()),
        started_at: running
            .map(|r| r.started_at)
            .or_else(|| last.map(|attempt| attempt.started_at)),
        ended_at: ended_at(&job.state),
        cause_text: cause.map(Cause::to_string),
        cause: cause.cloned(),
        cancel: cancel(&job.state),
        spec_digest: job.spec_digest,
        spec: None,
        attempts: Vec::new(),
    }
}

/// A job with its spec and ended attempts.
pub(super) fn job_detail(job: &Job, spec: JobSpec, attempts: &[Attempt]) -> JobView {
    JobView {
        spec: Some(Box::new(spec)),
        attempts: attempts.iter().map(attempt).collect(),
        ..self::job(job)
    }
}

fn cause(state: &State) -> Option<&Cause> {
    match state {
        State::Failed { cause, .. } => Some(cause),
        State::Queued { .. } | State::Running(_) | State::Succeeded { .. } | State::Cancelled { .. } => None,
    }
}

fn ended_at(state: &State) -> Option<domain::Timestamp> {
    match state {
        State::Queued { .. } | State::Running(_) => None,
        State::Succeeded { attempt } => Some(attempt.ended_at),
        State::Failed { at, .. } | State::Cancelled { at, .. } => Some(*at),
    }
}

fn cancel(state: &State) -> Option<CancelView> {
    let request = match state {
        State::Running(running) => running.cancel.as_ref(),
        State::Cancelled { request, .. } => Some(request),
        State::Queued { .. } | State::Succeeded { .. } | State::Failed { .. } => None,
    }?;
    Some(CancelView {
        by: request.by.clone(),
        at: request.at,
        reason: request.reason.clone(),
    })
}

fn attempt(attempt: &Attempt) -> AttemptView {
    let evidence = attempt.evidence.as_ref();
    let (outcome, cause) = match &attempt.end {
        AttemptEnd::Succeeded => ("succeeded", None),
        AttemptEnd::Failed(cause) => ("failed", Some(cause.clone())),
        AttemptEnd::Cancelled => ("cancelled", None),
        AttemptEnd::GivenBack => ("given_back", None),
    };
    AttemptView {
        number: attempt.number,
        agent: attempt.agent.name.clone(),
        agent_id: attempt.agent.id.clone(),
        fingerprint: attempt.agent.fingerprint,
        started_at: attempt.started_at,
        ended_at: attempt.ended_at,
        outcome: outcome.to_owned(),
        cause,
        log_bytes: evidence.map(|evidence| evidence.log_bytes),
        log_digest: evidence.map(|evidence| evidence.log_digest),
        artifacts: evidence.map_or(0, |evidence| evidence.artifacts),
        ran: evidence.map(|evidence| evidence.ran),
        usage: evidence.map(|evidence| evidence.usage),
    }
}

/// One fact of a job's history.
pub(super) fn event(entry: JournalEntry, hash: Digest) -> EventView {
    let mut view = EventView {
        at: entry.at,
        event: String::new(),
        state: entry.state,
        attempt: None,
        agent: None,
        by: None,
        detail: None,
        hash,
    };
    match entry.fact {
        JobFact::Submitted { by, spec } => {
            view.event = "submitted".to_owned();
            view.by = Some(by);
            view.detail = Some(format!("spec {spec}"));
        }
        JobFact::Due => view.event = "due".to_owned(),
        JobFact::Admitted => view.event = "admitted".to_owned(),
        JobFact::Claimed { attempt, agent } => {
            view.event = "claimed".to_owned();
            view.attempt = Some(attempt);
            view.agent = Some(agent.name);
        }
        JobFact::Finished { attempt, report } => {
            view.event = "finished".to_owned();
            view.attempt = Some(attempt);
            view.detail = Some(match report.end {
                domain::job::RunEnd::Succeeded => "succeeded".to_owned(),
                domain::job::RunEnd::Failed(cause) => cause.to_string(),
                domain::job::RunEnd::Cancelled => "killed for the cancel".to_owned(),
            });
        }
        JobFact::GivenBack { attempt, why } => {
            view.event = "given_back".to_owned();
            view.attempt = Some(attempt);
            view.detail = Some(match why {
                domain::job::GiveBack::Drain => "the agent drains or stops".to_owned(),
                domain::job::GiveBack::HeldAhead => "held ahead and not needed".to_owned(),
                domain::job::GiveBack::Undelivered => "it never reached the agent".to_owned(),
            });
        }
        JobFact::LeaseTaken { attempt, cause } => {
            view.event = "lease_taken".to_owned();
            view.attempt = Some(attempt);
            view.detail = Some(cause.to_string());
        }
        JobFact::CancelRequested { by, reason } => {
            view.event = "cancel_requested".to_owned();
            view.by = Some(by);
            view.detail = reason;
        }
        JobFact::Rejected { cause } => {
            view.event = "rejected".to_owned();
            view.detail = Some(cause.to_string());
        }
        JobFact::Quarantined { why, .. } => {
            view.event = "quarantined".to_owned();
            view.detail = Some(why);
        }
        JobFact::Restored => view.event = "restored".to_owned(),
    }
    view
}
