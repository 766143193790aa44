//! The endpoints of the coordinator for tests: what is asked, and what of the answers arrives.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::{Digest, JobId};
use protocol::agents::{AgentInfo, Enrolled};
use protocol::leases::{
    ClaimReply, ClaimRequest, FinishReply, FinishRequest, LEASE_HEADER, LogReceived, ReleaseRequest,
    RenewReply, RenewRequest, Renewal, Standing,
};
use protocol::{LeaseToken, Problem};
use tokio::time::{Instant, timeout_at};

use super::Shared;

/// All endpoints that an agent uses.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/readyz", get(|| async { "ready\n" }))
        .route("/v1/agents", post(enrol))
        .route("/v1/claims", post(claim))
        .route("/v1/leases/renew", post(renew))
        .route("/v1/leases/log", post(log))
        .route("/v1/leases/finish", post(finish))
        .route("/v1/leases/release", post(release))
        .route("/v1/blobs/{digest}", get(get_blob).put(put_blob))
        .layer(from_fn_with_state(Arc::clone(&shared), thaw))
        .with_state(shared)
}

/// Lets a request through once the coordinator does not stand still.
async fn thaw(Extract(shared): Extract<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut frozen = shared.frozen.subscribe();
    frozen.wait_for(|frozen| !frozen).await.unwrap();
    next.run(request).await
}

impl Shared {
    /// Wakes who waits, and loses the reply if that was asked for.
    fn answer<T: serde::Serialize>(&self, path: &'static str, reply: T) -> Response {
        self.changed.notify_waiters();
        let mut state = self.lock();
        if state
            .lose
            .get_mut(path)
            .is_some_and(|left| std::mem::replace(left, left.saturating_sub(1)) > 0)
        {
            return problem(503, "lost_reply", "the reply was lost");
        }
        Json(reply).into_response()
    }

    fn refuses(&self, path: &'static str) -> Option<Response> {
        let down = self.lock().down.contains(path);
        self.changed.notify_waiters();
        down.then(|| problem(503, "nexus_unavailable", "down"))
    }
}

fn problem(status: u16, code: &str, detail: &str) -> Response {
    let status_code = StatusCode::from_u16(status).unwrap();
    (status_code, Json(Problem::new(status, code, detail))).into_response()
}

async fn enrol(Extract(shared): Extract<Arc<Shared>>, Json(info): Json<AgentInfo>) -> Response {
    if let Some(refusal) = shared.refuses("/v1/agents") {
        return refusal;
    }
    let reply = {
        let mut state = shared.lock();
        state.agents.push(info);
        Enrolled {
            news: false,
            era: state.era.clone(),
            ttl_ms: state.ttl_ms,
            draining: state.draining,
        }
    };
    shared.answer("/v1/agents", reply)
}

async fn claim(Extract(shared): Extract<Arc<Shared>>, Json(request): Json<ClaimRequest>) -> Response {
    if let Some(refusal) = shared.refuses("/v1/claims") {
        return refusal;
    }
    shared.lock().claims.push(request.clone());
    let deadline = Instant::now() + Duration::from_millis(request.wait_ms);
    loop {
        let changed = shared.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let (leases, draining) = {
            let mut state = shared.lock();
            (state.grant(&request), state.draining)
        };
        if !leases.is_empty() || draining || timeout_at(deadline, changed).await.is_err() {
            return shared.answer("/v1/claims", ClaimReply { leases, draining });
        }
    }
}

async fn renew(Extract(shared): Extract<Arc<Shared>>, Json(request): Json<RenewRequest>) -> Response {
    if let Some(refusal) = shared.refuses("/v1/leases/renew") {
        return refusal;
    }
    let reply = {
        let mut state = shared.lock();
        state.renewals += 1;
        let standing = |renewal: &Renewal| match state.is_live(&renewal.job, &renewal.token) {
            false => Standing::Lost,
            true if state.cancels.contains(&renewal.job) => Standing::Cancel,
            true => Standing::Live,
        };
        let standings = request.leases.iter().map(standing).collect();
        let listed: HashSet<&JobId> = request.leases.iter().map(|proof| &proof.job).collect();
        let live = state
            .live
            .values()
            .filter(|lease| state.holders[&lease.job] == request.agent);
        let unlisted = live
            .filter(|lease| !listed.contains(&lease.job))
            .cloned()
            .collect();
        RenewReply {
            standings,
            unlisted,
            draining: state.draining,
            era: state.era.clone(),
        }
    };
    shared.answer("/v1/leases/renew", reply)
}

#[derive(serde::Deserialize)]
struct LogQuery {
    job: JobId,
    offset: u64,
}

async fn log(
    Extract(shared): Extract<Arc<Shared>>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = shared.refuses("/v1/leases/log") {
        return refusal;
    }
    let token = LeaseToken::from(headers[LEASE_HEADER].to_str().unwrap().to_owned());
    let received = {
        let mut state = shared.lock();
        state.log_requests += 1;
        if !state.is_live(&query.job, &token) {
            return problem(409, "lease_lost", "taken");
        }
        let stored = state.logs.entry(query.job).or_default();
        if stored.len() as u64 != query.offset {
            let there = LogReceived {
                stored: stored.len() as u64,
            };
            return problem(409, "log_offset", &serde_json::to_string(&there).unwrap());
        }
        stored.extend_from_slice(&body);
        LogReceived {
            stored: stored.len() as u64,
        }
    };
    shared.answer("/v1/leases/log", received)
}

async fn finish(Extract(shared): Extract<Arc<Shared>>, Json(request): Json<FinishRequest>) -> Response {
    if let Some(refusal) = shared.refuses("/v1/leases/finish") {
        return refusal;
    }
    let reply = {
        let mut state = shared.lock();
        state.finish_requests += 1;
        let results = request
            .finishes
            .into_iter()
            .map(|finish| state.finish(finish))
            .collect();
        let claim = request.claim.map(|claim| {
            let leases = state.grant(&claim);
            state.claims.push(claim);
            ClaimReply {
                leases,
                draining: state.draining,
            }
        });
        FinishReply { results, claim }
    };
    shared.answer("/v1/leases/finish", reply)
}

async fn release(Extract(shared): Extract<Arc<Shared>>, Json(request): Json<ReleaseRequest>) -> Response {
    if let Some(refusal) = shared.refuses("/v1/leases/release") {
        return refusal;
    }
    {
        let mut state = shared.lock();
        for proof in request.leases {
            if state.is_live(&proof.job, &proof.token) {
                let lease = state.live.remove(&proof.job).unwrap();
                state.returned.push((proof.job.clone(), request.why));
                state.queue.push_front((proof.job, lease.spec));
            }
        }
    }
    shared.answer("/v1/leases/release", serde_json::json!({}))
}

async fn get_blob(Extract(shared): Extract<Arc<Shared>>, Path(digest): Path<Digest>) -> Response {
    shared.changed.notify_waiters();
    let mut state = shared.lock();
    state.downloads += 1;
    match state.blobs.get(&digest) {
        _ if state.vault_gone => problem(500, "vault_failed", "it cannot be read"),
        Some(bytes) => bytes.clone().into_response(),
        None => problem(404, "blob_unknown", "no such blob"),
    }
}

async fn put_blob(
    Extract(shared): Extract<Arc<Shared>>,
    Path(digest): Path<Digest>,
    body: Bytes,
) -> Response {
    let refusal = {
        let mut state = shared.lock();
        state.uploads += 1;
        state.upload_refusal.clone()
    };
    shared.changed.notify_waiters();
    if let Some(refused) = refusal {
        return problem(refused.status, &refused.code, &refused.detail);
    }
    if Digest::of(&body) != digest {
        return problem(422, "digest_mismatch", "other bytes");
    }
    shared.lock().blobs.insert(digest, body);
    shared.answer("/v1/blobs", serde_json::json!({}))
}
