//! A scripted agent: says what a real one would say, and only when a test wants it to.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use domain::job::{Evidence, GiveBack, Report, RunEnd, Usage};
use domain::{Digest, JobId, Resources, Span, Timestamp};
use protocol::agents::{AgentInfo, Enrolled};
use protocol::client::{Client, ClientError, Options};
use protocol::frame::{self, Stream};
use protocol::jobs::Artifact;
use protocol::leases::{
    ClaimReply, ClaimRequest, Finish, FinishReply, FinishRequest, FinishResult, Held, LEASE_HEADER, Lease,
    LogReceived, Proof, ReleaseRequest, RenewReply, RenewRequest,
};

use serde::de::IgnoredAny;

use crate::world::World;

static AGENTS: AtomicU64 = AtomicU64::new(1);

pub(crate) struct Agent {
    pub(crate) info: AgentInfo,
    pub(crate) client: Client,
}

/// What an agent named `name` says of itself: a new process, 4 cpus, 8 GiB, 4 slots, Linux.
pub(crate) fn info(name: &str) -> AgentInfo {
    let number = AGENTS.fetch_add(1, Ordering::Relaxed);
    AgentInfo {
        id: format!("01k2b3c4d5e6f7g8h9j0{number:06}").parse().unwrap(),
        name: name.parse().unwrap(),
        fingerprint: Digest::of(name.as_bytes()),
        labels: [("os".to_owned(), "linux".to_owned())].into(),
        capacity: Resources {
            cpu_millis: 4_000,
            memory_bytes: 8 << 30,
        },
        slots: 4,
        executor: "process".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

impl World {
    /// An agent that has enrolled.
    pub(crate) async fn agent(&self, name: &str) -> Agent {
        self.agent_of(info(name)).await
    }

    pub(crate) async fn agent_of(&self, info: AgentInfo) -> Agent {
        let client = self.machine.clone();
        let _enrolled: Enrolled = client
            .post("/v1/agents", &info, Options::default())
            .await
            .unwrap();
        Agent { info, client }
    }
}

impl Agent {
    /// A claim of an idle agent.
    pub(crate) fn wish(&self, slots: usize, wait_ms: u64) -> ClaimRequest {
        ClaimRequest {
            agent: self.info.id.clone(),
            slots,
            ahead: None,
            free: self.info.capacity,
            held: Vec::new(),
            wait_ms,
            enrol: None,
        }
    }

    pub(crate) async fn ask(&self, wish: &ClaimRequest) -> Result<ClaimReply, ClientError> {
        self.client.post("/v1/claims", wish, Options::default()).await
    }

    /// Claims as an idle agent.
    pub(crate) async fn claim(&self, slots: usize, wait_ms: u64) -> ClaimReply {
        self.ask(&self.wish(slots, wait_ms)).await.unwrap()
    }

    /// The one lease that there is at once.
    pub(crate) async fn one(&self) -> Lease {
        let mut leases = self.claim(1, 5_000).await.leases;
        assert_eq!(leases.len(), 1);
        leases.remove(0)
    }

    pub(crate) async fn renew(&self, leases: &[Proof]) -> RenewReply {
        let request = RenewRequest {
            agent: self.info.id.clone(),
            leases: leases.iter().cloned().map(Into::into).collect(),
        };
        self.client
            .post("/v1/leases/renew", &request, Options::default())
            .await
            .unwrap()
    }

    pub(crate) async fn finish(&self, finishes: Vec<Finish>) -> Vec<FinishResult> {
        let request = FinishRequest {
            finishes,
            claim: None,
        };
        let reply: FinishReply = self
            .client
            .post("/v1/leases/finish", &request, Options::default())
            .await
            .unwrap();
        reply.results
    }

    /// Gives leases back because it drains.
    pub(crate) async fn release(&self, leases: &[Proof]) {
        let request = ReleaseRequest {
            leases: leases.to_vec(),
            why: GiveBack::Drain,
        };
        let reply: IgnoredAny = self
            .client
            .post("/v1/leases/release", &request, Options::default())
            .await
            .unwrap();
        let IgnoredAny = reply;
    }

    pub(crate) async fn log(
        &self,
        lease: &Lease,
        offset: usize,
        bytes: Bytes,
    ) -> Result<LogReceived, ClientError> {
        let path = format!("/v1/leases/log?job={}&offset={offset}", lease.job);
        let options = Options::default()
            .header(LEASE_HEADER, lease.token.expose())
            .header("content-type", "application/octet-stream");
        self.client.post_bytes(&path, bytes, options).await
    }
}

pub(crate) fn proof(lease: &Lease) -> Proof {
    Proof {
        job: lease.job.clone(),
        token: lease.token.clone(),
    }
}

pub(crate) fn held(lease: &Lease) -> Held {
    Held {
        job: lease.job.clone(),
        attempt: lease.attempt,
    }
}

/// The framed log of one write to standard output.
pub(crate) fn framed(text: &[u8]) -> Bytes {
    frames(&[(Stream::Stdout, text)])
}

pub(crate) fn frames(writes: &[(Stream, &[u8])]) -> Bytes {
    let mut log = BytesMut::new();
    for (stream, text) in writes {
        frame::encode(&mut log, *stream, Timestamp(1_790_000_000_000), text);
    }
    log.freeze()
}

/// A report of a run that left this framed log.
pub(crate) fn report(end: RunEnd, log: &[u8]) -> Report {
    let evidence = Evidence {
        log_bytes: log.len() as u64,
        log_digest: Digest::of(log),
        artifacts: 0,
        ran: Span::from_secs(1),
        usage: Usage::default(),
    };
    Report {
        end,
        evidence: Some(evidence),
    }
}

/// A finish that carries its whole log.
pub(crate) fn finish(lease: &Lease, end: RunEnd, log: Bytes) -> Finish {
    Finish {
        job: lease.job.clone(),
        token: lease.token.clone(),
        report: report(end, &log),
        log: Some(log),
        artifacts: Vec::new(),
    }
}

/// A finish of a run that said nothing and went well.
pub(crate) fn success(lease: &Lease) -> Finish {
    finish(lease, RunEnd::Succeeded, Bytes::new())
}

pub(crate) fn artifact(path: &str, content: &[u8]) -> Artifact {
    Artifact {
        path: path.to_owned(),
        size: content.len() as u64,
        digest: Digest::of(content),
        executable: false,
    }
}

/// The code of a refused finish.
pub(crate) fn refusal(result: &FinishResult) -> &str {
    match result {
        FinishResult::Refused(problem) => &problem.code,
        FinishResult::Done => "done",
    }
}

/// The newest refused writes, newest first: job and request.
pub(crate) async fn refusals(world: &World) -> Vec<(JobId, String)> {
    let reply = world.say("GET", "/v1/leases/refusals").send().await;
    let entries: Vec<serde_json::Value> = reply.json();
    let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let read = |entry| (text(entry, "job").parse().unwrap(), text(entry, "request"));
    entries.iter().map(read).collect()
}
