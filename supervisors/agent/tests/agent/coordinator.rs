//! A coordinator for tests: keeps the promises that an agent relies on, and breaks them on request.
//!
//! Jobs wait in one queue; leases, logs, blobs and finishes are kept in memory. It checks what a real one would: tokens,
//! log offsets, digests. What was asked is on record, and replies can be lost.

#[path = "coordinator/endpoints.rs"]
mod endpoints;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use domain::job::GiveBack;
use domain::{AgentId, Digest, JobId, JobSpec, Lane};
use protocol::agents::AgentInfo;
use protocol::leases::{ClaimRequest, Finish, FinishResult, Held, Lease, LogReceived};
use protocol::{LeaseToken, Problem};
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// A coordinator on a port of its own.
#[derive(Clone)]
pub(crate) struct Coordinator {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    presence: Arc<Presence>,
}

/// What serves: a task, or a runtime that takes its connections along when it ends.
enum Server {
    Beside(JoinHandle<()>),
    Apart(Runtime),
}

impl Server {
    fn end(self) {
        match self {
            Self::Beside(task) => task.abort(),
            Self::Apart(runtime) => runtime.shutdown_background(),
        }
    }
}

/// The server, while there is one.
struct Presence(Mutex<Option<Server>>);

impl Presence {
    fn replace(&self, server: Option<Server>) -> Option<Server> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), server)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(server) = self.replace(None) {
            server.end();
        }
    }
}

struct Shared {
    /// What coordinators of one pool have in common.
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    /// While it is set no request to this one gets any further.
    frozen: watch::Sender<bool>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) queue: VecDeque<(JobId, JobSpec)>,
    pub(crate) live: BTreeMap<JobId, Lease>,
    /// Who holds them.
    holders: HashMap<JobId, AgentId>,
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
    pub(crate) era: Option<String>,
    pub(crate) ttl_ms: u64,
    /// Replies that are lost after their request was carried out, by path.
    pub(crate) lose: HashMap<&'static str, usize>,
    /// Paths that answer 503.
    pub(crate) down: HashSet<&'static str>,
    /// Whether no blob can be read.
    pub(crate) vault_gone: bool,
    /// How often a blob was asked for.
    pub(crate) downloads: usize,
    pub(crate) uploads: usize,
    /// What every upload is refused for.
    pub(crate) upload_refusal: Option<Problem>,
    /// Blobs that are said to be missing once more at a finish.
    pub(crate) forget_blobs_once: bool,
    /// What the next finishes are refused for, one each.
    pub(crate) refusals: VecDeque<Problem>,
    /// Log bytes that are lost once, when a finish comes.
    pub(crate) lose_log_once: bool,
}

impl Coordinator {
    pub(crate) async fn start() -> Self {
        let state = State {
            ttl_ms: 30_000,
            ..State::default()
        };
        Self::over(Arc::new(Shared {
            state: Arc::new(Mutex::new(state)),
            changed: Arc::new(Notify::new()),
            frozen: watch::Sender::new(false),
        }))
    }

    /// Another one of the same pool. It can go and stand still by itself.
    pub(crate) fn another(&self) -> Self {
        Self::over(Arc::new(Shared {
            state: Arc::clone(&self.shared.state),
            changed: Arc::clone(&self.shared.changed),
            frozen: watch::Sender::new(false),
        }))
    }

    fn over(shared: Arc<Shared>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::Beside(serve(&Handle::current(), listener, &shared));
        Self {
            shared,
            address,
            presence: Arc::new(Presence(Mutex::new(Some(server)))),
        }
    }

    /// Is gone once this returns: nobody listens, and all connections are reset.
    pub(crate) async fn go(&self) {
        match self.presence.replace(None) {
            None => {}
            Some(Server::Beside(task)) => {
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            }
            Some(Server::Apart(runtime)) => {
                let end = move || runtime.shutdown_timeout(Duration::from_secs(10));
                tokio::task::spawn_blocking(end).await.unwrap();
            }
        }
    }

    /// Is there, as a process of its own would be: apart from the rest, so that its connections go with it. All of its
    /// state is as it was.
    pub(crate) fn come(&self) {
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        drop(serve(runtime.handle(), listener, &self.shared));
        assert!(self.presence.replace(Some(Server::Apart(runtime))).is_none());
    }

    /// Stands still, or goes on with what it was asked meanwhile.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
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
            assert!(
                timeout_at(deadline, changed).await.is_ok(),
                "waited in vain: {what}"
            );
        }
    }

    pub(crate) async fn finished(&self, job: &JobId) -> Finish {
        let find = |state: &mut State| state.finishes.iter().find(|finish| finish.job == *job).cloned();
        self.until(&format!("{job} finishes"), find).await
    }

    /// Grants all that waits to the agent that claimed last, which does not hear of it.
    pub(crate) fn grant_unheard(&self) {
        let mut state = self.state();
        let mut claim = state.claims.last().cloned().unwrap();
        claim.slots = 1_000;
        state.grant(&claim);
    }

    /// Lets nobody have this lease any more.
    pub(crate) fn take_lease(&self, job: &JobId) {
        self.state().live.remove(job);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no supervision tree")]
fn serve(runtime: &Handle, listener: std::net::TcpListener, shared: &Arc<Shared>) -> JoinHandle<()> {
    listener.set_nonblocking(true).unwrap();
    let router = endpoints::router(Arc::clone(shared));
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        axum::serve(listener, router).await.unwrap();
    })
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn grant(&mut self, request: &ClaimRequest) -> Vec<Lease> {
        let listed: HashSet<&Held> = request.held.iter().collect();
        let unlisted = self
            .live
            .values()
            .filter(|lease| self.holders[&lease.job] == request.agent);
        let unlisted = unlisted.filter(|l| {
            !listed.contains(&Held {
                job: l.job.clone(),
                attempt: l.attempt,
            })
        });
        let mut leases: Vec<Lease> = unlisted.cloned().collect();
        let wanted = request.slots + request.ahead.as_ref().map_or(0, |ahead| ahead.n);
        while leases.len() < wanted && !self.draining {
            let Some((job, spec)) = self.queue.pop_front() else {
                break;
            };
            let attempt = self
                .attempts
                .entry(job.clone())
                .and_modify(|n| *n += 1)
                .or_insert(1);
            let lane = Lane::new(spec.resources(), spec.constraints());
            let token = LeaseToken::new(*attempt, &request.agent, &"0".repeat(64));
            let ttl_ms = self.ttl_ms;
            let lease = Lease {
                job: job.clone(),
                attempt: *attempt,
                token,
                lane,
                ttl_ms,
                cancel: false,
                spec,
            };
            self.holders.insert(job.clone(), request.agent.clone());
            self.live.insert(job, lease.clone());
            leases.push(lease);
        }
        leases
    }

    fn is_live(&self, job: &JobId, token: &LeaseToken) -> bool {
        self.live.get(job).is_some_and(|lease| lease.token == *token)
    }

    fn finish(&mut self, finish: Finish) -> FinishResult {
        if let Some(problem) = self.refusals.pop_front() {
            return FinishResult::Refused(problem);
        }
        let refused = |code: &str, detail: String| FinishResult::Refused(Problem::new(409, code, detail));
        if self
            .finishes
            .iter()
            .any(|known| known.job == finish.job && known.token == finish.token)
        {
            self.repeated += 1;
            return FinishResult::Done;
        }
        if !self.is_live(&finish.job, &finish.token) {
            self.refused.push(finish.job);
            return refused("lease_lost", "taken".to_owned());
        }
        if let Some(missing) = finish
            .artifacts
            .iter()
            .find(|a| self.forget_blobs_once || !self.blobs.contains_key(&a.digest))
        {
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
                assert!(
                    stored.is_empty(),
                    "a log is either shipped or travels with the finish"
                );
                stored.extend_from_slice(log);
            }
            if stored.len() as u64 != evidence.log_bytes {
                let there = LogReceived {
                    stored: stored.len() as u64,
                };
                return refused("log_incomplete", serde_json::to_string(&there).unwrap());
            }
            assert_eq!(
                Digest::of(stored),
                evidence.log_digest,
                "the log is what the agent says it is"
            );
        }
        self.live.remove(&finish.job);
        self.finishes.push(finish);
        FinishResult::Done
    }
}
