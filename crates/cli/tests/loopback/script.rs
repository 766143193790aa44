//! A coordinator that follows a script: one job, its successive views, and the log connections of each attempt.
//!
//! A view is handed out when the one before it is named by `If-None-Match`; after the last one, requests are parked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::Timestamp;
use futures_util::stream::{self, StreamExt as _};
use protocol::frame::{HEADER_BYTES, Stream};
use protocol::jobs::LogEvent;
use serde_json::{Value, json};
use tokio::sync::watch;

/// The one job.
pub(crate) const JOB: &str = "default-01k2b3c4d5e6f7g8h9j0kmnpqr";

/// What the coordinator will do.
#[derive(Default)]
pub(crate) struct Script {
    /// The job's views, one after the other.
    pub(crate) views: Vec<Value>,
    /// The log connections, in the order in which they are made.
    pub(crate) connections: VecDeque<Connection>,
    /// So many creates fail with 503 first.
    pub(crate) busy: usize,
    /// So many views are refused first, because the job is not known.
    pub(crate) lost: usize,
    /// From the cancel on the job is not known any more.
    pub(crate) loses_what_is_cancelled: bool,
}

/// One log connection.
pub(crate) struct Connection {
    /// What is sent.
    pub(crate) bytes: Vec<u8>,
    /// What happens then.
    pub(crate) then: Then,
}

/// What happens to a connection after its bytes.
pub(crate) enum Then {
    /// It ends as it should.
    Close,
    /// It breaks off.
    Cut,
    /// It stays until the job is cancelled, then these bytes follow.
    UntilCancelled(Vec<u8>),
}

/// What the program asked for.
#[derive(Default)]
pub(crate) struct Seen {
    /// `Idempotency-Key` of every create.
    pub(crate) keys: Vec<String>,
    /// Bodies of the creates.
    pub(crate) bodies: Vec<Value>,
    /// `Last-Event-ID` of every log connection.
    pub(crate) resumed_at: Vec<Option<String>>,
    /// Reasons of the cancels.
    pub(crate) cancels: Vec<Value>,
}

/// The coordinator.
#[derive(Clone)]
pub(crate) struct Coordinator {
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Seen>>,
    cancelled: watch::Sender<bool>,
}

impl Coordinator {
    pub(crate) fn new(script: Script) -> Self {
        Self {
            script: Arc::new(Mutex::new(script)),
            seen: Arc::default(),
            cancelled: watch::Sender::new(false),
        }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/v1/jobs", post(submit))
            .route("/v1/jobs/{job}", get(view))
            .route("/v1/jobs/{job}/cancel", post(cancel))
            .route("/v1/jobs/{job}/attempts/{n}/log", get(log))
            .with_state(self.clone())
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

async fn submit(State(it): State<Coordinator>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(text("authorization"), "Bearer hft_test");
    it.seen().keys.push(text("idempotency-key"));
    it.seen().bodies.push(serde_json::from_slice(&body).unwrap());
    let mut script = it.script.lock().unwrap();
    if script.busy > 0 {
        script.busy -= 1;
        return problem(503, "nexus_down", "the nexus cannot be reached");
    }
    (StatusCode::CREATED, Json(json!({ "id": JOB, "warnings": [] }))).into_response()
}

async fn view(State(it): State<Coordinator>, headers: HeaderMap) -> Response {
    let known = headers
        .get("if-none-match")
        .map(|etag| etag.to_str().unwrap().trim_matches('"').to_owned());
    let next = known.map_or(0, |etag| etag.parse::<usize>().unwrap() + 1);
    assert_eq!(next > 0, headers.contains_key("prefer"));
    let is_lost = {
        let lost = &mut it.script.lock().unwrap().lost;
        let before = std::mem::replace(lost, lost.saturating_sub(1));
        before > 0
    };
    if is_lost {
        return problem(404, "job_unknown", "there is no such job");
    }
    let view = it.script.lock().unwrap().views.get(next).cloned();
    match view {
        Some(view) => ([("etag", format!("\"{next}\""))], Json(view)).into_response(),
        None => std::future::pending().await,
    }
}

async fn cancel(State(it): State<Coordinator>, Json(body): Json<Value>) -> Json<Value> {
    it.seen().cancels.push(body["reason"].clone());
    let view = {
        let mut script = it.script.lock().unwrap();
        if script.loses_what_is_cancelled {
            script.lost = usize::MAX;
        }
        script.views[0].clone()
    };
    it.cancelled.send_replace(true);
    Json(view)
}

async fn log(
    State(it): State<Coordinator>,
    Path((_, attempt)): Path<(String, u32)>,
    headers: HeaderMap,
) -> Response {
    assert_eq!(headers["accept"], "text/event-stream");
    let resumed_at = headers
        .get("last-event-id")
        .map(|id| id.to_str().unwrap().to_owned());
    it.seen().resumed_at.push(resumed_at);
    let (connection, is_lost) = {
        let mut script = it.script.lock().unwrap();
        (script.connections.pop_front(), script.lost > 0)
    };
    let Some(connection) = connection else {
        if is_lost {
            return problem(404, "job_unknown", "there is no such job");
        }
        return problem(404, "log_not_found", &format!("attempt {attempt} left no log"));
    };
    let mut cancelled = it.cancelled.subscribe();
    let rest = stream::once(async move {
        match connection.then {
            Then::Close => Ok(Bytes::new()),
            Then::Cut => {
                // What was written before is sent only when the body makes a pause.
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut by the script"))
            }
            Then::UntilCancelled(bytes) => {
                cancelled.wait_for(|cancelled| *cancelled).await.unwrap();
                Ok(Bytes::from(bytes))
            }
        }
    });
    let first = stream::once(async move { Ok(Bytes::from(connection.bytes)) });
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(first.chain(rest)),
    )
        .into_response()
}

/// A problem document.
pub(crate) fn problem(status: u16, code: &str, detail: &str) -> Response {
    let problem = protocol::Problem::new(status, code, detail);
    (StatusCode::from_u16(status).unwrap(), Json(problem)).into_response()
}

/// A view of the job; `more` replaces or adds fields.
pub(crate) fn job(state: &str, attempt: u32, more: Value) -> Value {
    let mut view = json!({
        "id": JOB, "name": "x", "state": state, "principal": "ada", "submitted_at": "2026-11-21T17:00:00Z",
        "priority": 0, "attempt": attempt, "charged": attempt, "max_attempts": 2, "spec_digest": "00".repeat(32),
    });
    view.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    view
}

/// An ended attempt of a view.
pub(crate) fn attempt(number: u32, outcome: &str, cause: Value) -> Value {
    json!({
        "number": number, "agent": "forge-1", "agent_id": "01k2b3c4d5e6f7g8h9j0kmnpqr", "fingerprint": "00".repeat(32),
        "started_at": "2026-11-21T17:00:00Z", "ended_at": "2026-11-21T17:00:01Z", "outcome": outcome, "cause": cause,
        "artifacts": 0,
    })
}

/// The end of a log.
pub(crate) const END: &[u8] = b"event: end\ndata: {}\n\n";

/// The events of a log, one for each write.
pub(crate) fn events(writes: &[(Stream, &[u8])]) -> Vec<Vec<u8>> {
    let mut offset = 0;
    writes
        .iter()
        .map(|(stream, data)| {
            offset += HEADER_BYTES + data.len();
            let event = LogEvent {
                stream: *stream,
                at: Timestamp(1_795_000_000_000),
                data: Bytes::copy_from_slice(data),
            };
            let json = serde_json::to_string(&event).unwrap();
            format!("event: frame\nid: {offset}\ndata: {json}\n\n").into_bytes()
        })
        .collect()
}

/// A connection that sends a whole log.
pub(crate) fn whole(writes: &[(Stream, &[u8])]) -> Connection {
    Connection {
        bytes: [events(writes).concat(), END.to_vec()].concat(),
        then: Then::Close,
    }
}
