//! A coordinator for tests: keeps the promises that an agent relies on, and breaks them on request.
//!
//! Jobs wait in one queue; leases, logs, blobs and finishes are kept in memory. It checks what a real one would: tokens,
//! log offsets, digests. What was asked is on record, and replies can be lost.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::job::GiveBack;
use domain::{Digest, JobId, JobSpec, Lane};
use protocol::agents::{AgentInfo, Enrolled};
use protocol::leases::{
    ClaimReply, ClaimRequest, Finish, FinishReply, FinishRequest, FinishResult, Held, LEASE_HEADER, Lease,
    LogReceived, Proof, ReleaseRequest, RenewReply, RenewRequest, Standing,
};
use protocol::{LeaseToken, Problem};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// A coordinator on a port of its own.
#[derive(Clone)]
pub(crate) struct Coordinator {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    server: Arc<Server>,
}

struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) queue: VecDeque<(JobId, JobSpec)>,
    pub(crate) live: BTreeMap<JobId, Lease>,
    attempts: HashMap<JobId, u32>,
    n_jobs: u128,
    pub(crate) agents: Vec<AgentInfo>,
    pub(crate) finishes: Vec<Finish>,
    /// Jobs whose finish came more than once.
    pub(crate) repeated: usize,
    pub(crate) refused: Vec<JobId>,
    pub(crate) returned: Vec<(JobId, GiveBack)>,
    pub(crate) logs: HashMap<JobId, Vec<u8>>,
    pub(crate) log_requests: usize,
    pub(crate) blobs: HashMap<Digest, Bytes>,
    pub(crate) claims: Vec<ClaimRequest>,
    pub(crate) finish_requests: usize,
    pub(crate) renewals: usize,
    pub(crate) cancels: HashSet<JobId>,
    pub(crate) draining: bool,
    pub(crate) ttl_ms: u64,
    /// Replies that are lost after their request was carried out, by path.
    pub(crate) lose: HashMap<&'static str, usize>,
    /// Paths that answer 503.
    pub(crate) down: HashSet<&'static str>,
    /// Blobs that are said to be missing once more at a finish.
    pub(crate) forget_blobs_once: bool,
    /// Log bytes that are lost once, when a finish comes.
    pub(crate) lose_log_once: bool,
}

impl Coordinator {
    #[expect(clippy::disallowed_methods, reason = "a test has no supervision tree")]
    pub(crate) async fn start() -> Self {
        let state = State { ttl_ms: 30_000, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v1/agents", post(enrol))
            .route("/v1/claims", post(claim))
            .route("/v1/leases/renew", post(renew))
            .route("/v1/leases/log", post(log))
            .route("/v1/leases/finish", post(finish))
            .route("/v1/leases/release", post(release))
            .route("/v1/blobs/{digest}", get(get_blob).put(put_blob))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, address, server: Arc::new(Server(server)) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    pub(crate) fn submit(&self, spec: JobSpec) -> JobId {
        let id = {
            let mut state = self.state();
            state.n_jobs += 1;
            let ulid = format!("{:026}", state.n_jobs);
            let id = JobId::new("default".parse().unwrap(), &ulid).unwrap();
            state.queue.push_back((id.clone(), spec));
            id
        };
        self.shared.changed.notify_waiters();
        id
    }

    /// Waits until the state is as wanted, and fails loudly if that takes too long.
    pub(crate) async fn until<T>(&self, what: &str, mut wanted: impl FnMut(&mut State) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = wanted(&mut self.state()) {
                return found;
            }
            assert!(timeout_at(deadline, changed).await.is_ok(), "waited in vain: {what}");
        }
    }

    pub(crate) async fn finished(&self, job: &JobId) -> Finish {
        let find = |state: &mut State| state.finishes.iter().find(|finish| finish.job == *job).cloned();
        self.until(&format!("{job} finishes"), find).await
    }

    /// Lets nobody have this lease any more.
    pub(crate) fn take_lease(&self, job: &JobId) {
        self.state().live.remove(job);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes who waits, and loses the reply if that was asked for.
    fn answer<T: serde::Serialize>(&self, path: &'static str, reply: T) -> Response {
        self.changed.notify_waiters();
        let mut state = self.lock();
        if state.lose.get_mut(path).is_some_and(|left| std::mem::replace(left, left.saturating_sub(1)) > 0) {
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

impl State {
    fn grant(&mut self, request: &ClaimRequest) -> Vec<Lease> {
        let listed: HashSet<&Held> = request.held.iter().collect();
        let unlisted =
            self.live.values().filter(|l| !listed.contains(&Held { job: l.job.clone(), attempt: l.attempt }));
        let mut leases: Vec<Lease> = unlisted.cloned().collect();
        let wanted = request.slots + request.ahead.as_ref().map_or(0, |ahead| ahead.n);
        while leases.len() < wanted && !self.draining {
            let Some((job, spec)) = self.queue.pop_front() else { break };
            let attempt = self.attempts.entry(job.clone()).and_modify(|n| *n += 1).or_insert(1);
            let lane = Lane::new(spec.resources(), spec.constraints());
            let token = LeaseToken::new(*attempt, &"0".repeat(64));
            let ttl_ms = self.ttl_ms;
            let lease = Lease { job: job.clone(), attempt: *attempt, token, lane, ttl_ms, cancel: false, spec };
            self.live.insert(job, lease.clone());
            leases.push(lease);
        }
        leases
    }

    fn is_live(&self, proof: &Proof) -> bool {
        self.live.get(&proof.job).is_some_and(|lease| lease.token == proof.token)
    }

    fn finish(&mut self, finish: Finish) -> FinishResult {
        let proof = Proof { job: finish.job.clone(), token: finish.token.clone() };
        let refused = |code: &str, detail: String| FinishResult::Refused(Problem::new(409, code, detail));
        if self.finishes.iter().any(|known| known.job == finish.job && known.token == finish.token) {
            self.repeated += 1;
            return FinishResult::Done;
        }
        if !self.is_live(&proof) {
            self.refused.push(finish.job);
            return refused("lease_lost", "taken".to_owned());
        }
        if let Some(missing) = finish.artifacts.iter().find(|a| self.forget_blobs_once || !self.blobs.contains_key(&a.digest)) {
            self.forget_blobs_once = false;
            let digest = missing.digest;
            self.blobs.remove(&digest);
            return refused("blob_missing", digest.to_string());
        }
        if let Some(evidence) = &finish.report.evidence {
            let stored = self.logs.entry(finish.job.clone()).or_default();
            if std::mem::take(&mut self.lose_log_once) {
                stored.truncate(stored.len() / 2);
            }
            if let Some(log) = &finish.log {
                assert!(stored.is_empty(), "a log is either shipped or travels with the finish");
                stored.extend_from_slice(log);
            }
            if stored.len() as u64 != evidence.log_bytes {
                let there = LogReceived { stored: stored.len() as u64 };
                return refused("log_incomplete", serde_json::to_string(&there).unwrap());
            }
            assert_eq!(Digest::of(stored), evidence.log_digest, "the log is what the agent says it is");
        }
        self.live.remove(&finish.job);
        self.finishes.push(finish);
        FinishResult::Done
    }
}

async fn enrol(Extract(shared): Extract<Arc<Shared>>, Json(info): Json<AgentInfo>) -> Response {
    if let Some(refusal) = shared.refuses("/v1/agents") {
        return refusal;
    }
    let reply = {
        let mut state = shared.lock();
        state.agents.push(info);
        Enrolled { ttl_ms: state.ttl_ms, draining: state.draining }
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
        let standing = |proof: &Proof| match state.is_live(proof) {
            false => Standing::Lost,
            true if state.cancels.contains(&proof.job) => Standing::Cancel,
            true => Standing::Live,
        };
        let standings = request.leases.iter().map(standing).collect();
        let listed: HashSet<&JobId> = request.leases.iter().map(|proof| &proof.job).collect();
        let unlisted = state.live.values().filter(|lease| !listed.contains(&lease.job)).cloned().collect();
        RenewReply { standings, unlisted, draining: state.draining }
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
        if !state.is_live(&Proof { job: query.job.clone(), token }) {
            return problem(409, "lease_lost", "taken");
        }
        let stored = state.logs.entry(query.job).or_default();
        if stored.len() as u64 != query.offset {
            let there = LogReceived { stored: stored.len() as u64 };
            return problem(409, "log_offset", &serde_json::to_string(&there).unwrap());
        }
        stored.extend_from_slice(&body);
        LogReceived { stored: stored.len() as u64 }
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
        let results = request.finishes.into_iter().map(|finish| state.finish(finish)).collect();
        let claim = request.claim.map(|claim| {
            let leases = state.grant(&claim);
            state.claims.push(claim);
            ClaimReply { leases, draining: state.draining }
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
            if state.is_live(&proof) {
                let lease = state.live.remove(&proof.job).unwrap();
                state.returned.push((proof.job.clone(), request.why));
                state.queue.push_front((proof.job, lease.spec));
            }
        }
    }
    shared.answer("/v1/leases/release", serde_json::json!({}))
}

async fn get_blob(Extract(shared): Extract<Arc<Shared>>, Path(digest): Path<Digest>) -> Response {
    match shared.lock().blobs.get(&digest) {
        Some(bytes) => bytes.clone().into_response(),
        None => problem(404, "blob_unknown", "no such blob"),
    }
}

async fn put_blob(Extract(shared): Extract<Arc<Shared>>, Path(digest): Path<Digest>, body: Bytes) -> Response {
    if Digest::of(&body) != digest {
        return problem(422, "digest_mismatch", "other bytes");
    }
    shared.lock().blobs.insert(digest, body);
    shared.answer("/v1/blobs", serde_json::json!({}))
}
