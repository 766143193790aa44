//! Looking at jobs, waiting for one to change, cancelling, and why one is where it is.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::job::{StateName, Waits};
use domain::{Job, JobEvent, JobId};
use ledger::JobDetail;
use protocol::jobs::{CancelRequest, EventList, JobList, JobView, WhyAgent, WhyView};
use protocol::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, WAIT_MAX};
use serde::Deserialize;
use tokio::time::Instant;

use crate::coordinator::Coordinator;
use crate::http::Shared;
use crate::http::extract::{Admin, Path, Query, RawBody, job_id, no_job, read_json};
use crate::http::problem::Failed;
use crate::http::{agents, views};

/// How late a lost hint can make a waiting request.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Characters of a cancel's reason that are kept.
const REASON_CHARS_MAX: usize = 200;

/// The query of `GET /v1/jobs`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    state: Option<StateName>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /v1/jobs`: newest first.
pub(super) async fn list(
    State(coordinator): Shared,
    _: Admin,
    Query(query): Query<ListQuery>,
) -> Result<Json<JobList>, Failed> {
    let limit = query.limit.unwrap_or(PAGE_ITEMS_DEFAULT).clamp(1, PAGE_ITEMS_MAX);
    let before = query.cursor.as_deref().map(read_cursor).transpose()?;
    let page = coordinator.ledger.page(query.state, before, limit).await?;
    let next = page.next.map(|(score, member)| format!("{score}.{member}"));
    Ok(Json(JobList {
        items: page.jobs.iter().map(views::job).collect(),
        next,
    }))
}

fn read_cursor(text: &str) -> Result<(u64, String), Failed> {
    let parts = text
        .split_once('.')
        .and_then(|(score, member)| Some((score.parse().ok()?, member.to_owned())));
    parts.ok_or_else(|| {
        Failed::bad_request(
            "bad_cursor",
            format!("`{text}` is no cursor: give back the `next` of the page before"),
        )
    })
}

/// `GET /v1/jobs/{job}`. With `Prefer: wait=N` and `If-None-Match` it answers when the job changes, or 304.
pub(super) async fn show(
    State(coordinator): Shared,
    _: Admin,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = job_id(&coordinator, &job)?;
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|etag| etag.to_str().ok());
    let wait = wait_of(&headers);
    let deadline = Instant::now() + wait.unwrap_or_default();
    loop {
        let changes = coordinator.signals.job(id.ulid());
        let detail = coordinator.ledger.detail(&id).await?.ok_or_else(|| no_job(&id))?;
        let etag = format!("\"{:016x}\"", detail.stored.version.0);
        let left = deadline.saturating_duration_since(Instant::now());
        let closing = coordinator.connections.closing();
        if known != Some(&etag) {
            return Ok(shown(detail, &etag, wait));
        }
        if left.is_zero() || closing.is_cancelled() {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
        }
        let pause = left.min(LOOK_EVERY);
        let _parked = coordinator.metrics.park();
        match changes {
            Some(mut changes) => {
                tokio::select! {
                    // A change, a second, or the end of the process: look again.
                    _ = tokio::time::timeout(pause, changes.changed()) => {}
                    () = closing.cancelled() => {}
                }
            }
            None => tokio::time::sleep(pause).await,
        }
    }
}

fn shown(detail: JobDetail, etag: &str, wait: Option<Duration>) -> Response {
    let view = views::job_detail(detail.stored.job(), detail.spec, &detail.attempts);
    let mut response = Json(view).into_response();
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    if let Some(applied) =
        wait.and_then(|wait| HeaderValue::from_str(&format!("wait={}", wait.as_secs())).ok())
    {
        headers.insert(HeaderName::from_static("preference-applied"), applied);
    }
    response
}

/// The `wait=N` of RFC 7240, bounded.
pub(super) fn wait_of(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get("prefer")?.to_str().ok()?;
    let wait = preferences
        .split(',')
        .find_map(|one| one.trim().strip_prefix("wait="))?;
    Some(Duration::from_secs(wait.trim().parse().ok()?).min(WAIT_MAX))
}

/// `POST /v1/jobs/{job}/cancel`. The body may be empty.
pub(super) async fn cancel(
    State(coordinator): Shared,
    Admin(by): Admin,
    Path(job): Path<String>,
    RawBody(body): RawBody,
) -> Result<Json<JobView>, Failed> {
    let id = job_id(&coordinator, &job)?;
    let request: CancelRequest = match body.is_empty() {
        true => CancelRequest::default(),
        false => read_json(&body)?,
    };
    let reason = request
        .reason
        .map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
    let applied = coordinator
        .ledger
        .apply(&id, JobEvent::CancelRequested { by, reason })
        .await?;
    Ok(Json(views::job(&applied.job())))
}

/// `GET /v1/jobs/{job}/events`: its facts, oldest first.
pub(super) async fn events(
    State(coordinator): Shared,
    _: Admin,
    Path(job): Path<String>,
) -> Result<Json<EventList>, Failed> {
    let id = job_id(&coordinator, &job)?;
    let facts = coordinator.ledger.facts(&id).await?;
    if facts.is_empty() {
        return Err(no_job(&id));
    }
    let items = facts
        .into_iter()
        .map(|(entry, hash)| views::event(entry, hash))
        .collect();
    Ok(Json(EventList { items }))
}

/// `GET /v1/jobs/{job}/why`: why it is where it is, with every unmet requirement of every agent.
pub(super) async fn why(
    State(coordinator): Shared,
    _: Admin,
    Path(job): Path<String>,
) -> Result<Json<WhyView>, Failed> {
    let id = job_id(&coordinator, &job)?;
    let stored = coordinator.ledger.load(&id).await?.ok_or_else(|| no_job(&id))?;
    let job = stored.job();
    let queued = job.state.name() == StateName::Queued;
    let known = if queued {
        agents_for(&coordinator, job).await?
    } else {
        Agents::default()
    };
    let ahead = if queued {
        coordinator.ledger.ahead_in_lane(&job.lane, id.ulid()).await?
    } else {
        None
    };
    let verdict = verdict(job, &id, &known, ahead);
    Ok(Json(WhyView {
        state: job.state.name(),
        verdict,
        lane: job.lane.clone(),
        ahead,
        agents: known.present,
    }))
}

/// What agents say to a queued job.
#[derive(Default)]
struct Agents {
    /// Those that are heard of.
    present: Vec<WhyAgent>,
    /// How many are not, and so take no job whatever they could run.
    lost: usize,
}

async fn agents_for(coordinator: &Coordinator, job: &Job) -> Result<Agents, Failed> {
    let mut agents = Agents::default();
    for known in agents::known(coordinator).await? {
        if known.lost {
            agents.lost += 1;
            continue;
        }
        agents.present.push(WhyAgent {
            unmet: known.unmet(&job.lane),
            agent: known.record.name,
            id: known.record.id,
        });
    }
    Ok(agents)
}

fn verdict(job: &Job, id: &JobId, agents: &Agents, ahead: Option<u64>) -> String {
    use domain::job::State;
    match &job.state {
        State::Queued {
            waits: Waits::Until(at),
        } => format!("waits until {at}"),
        State::Queued {
            waits: Waits::ForGroup,
        } => {
            let group = job.group.as_ref().map_or_else(String::new, |group| {
                format!(" `{}`, which lets {} run at once", group.name, group.limit)
            });
            format!("waits for room in its group{group}")
        }
        State::Queued {
            waits: Waits::Nothing,
        } => waiting_verdict(agents, ahead),
        State::Running(running) if running.cancel.is_some() => {
            format!("runs on {} and is to be cancelled", running.agent.name)
        }
        State::Running(running) => format!("runs on {}", running.agent.name),
        State::Succeeded { .. } => format!("{id} has succeeded"),
        State::Failed { cause, .. } => format!("failed: {cause}"),
        State::Cancelled { request, .. } => format!("cancelled by {}", request.by),
    }
}

fn waiting_verdict(agents: &Agents, ahead: Option<u64>) -> String {
    let count = |can: fn(&WhyAgent) -> bool| agents.present.iter().filter(|agent| can(agent)).count();
    let now = count(|agent| agent.unmet.is_empty());
    let able = count(|agent| agent.unmet.iter().all(domain::Unmet::passes_with_time));
    let ahead = match ahead {
        None | Some(0) => String::new(),
        Some(1) => "; 1 job goes before it in its lane".to_owned(),
        Some(n) => format!("; {n} jobs go before it in its lane"),
    };
    match (agents.present.len(), able, now) {
        (0, ..) if agents.lost > 0 => format!("waits: all {} known agents are lost", agents.lost),
        (0, ..) => "waits: no agent has enrolled".to_owned(),
        (n, 0, _) => format!("waits: none of the {n} known agents can ever run it"),
        (n, able, 0) => format!("waits for a free slot: {able} of {n} known agents can run it{ahead}"),
        (n, _, now) => format!("waits to be taken: {now} of {n} known agents can take it now{ahead}"),
    }
}
