//! The life of one simulated agent: enrol, wait for leases, report them as done, and claim in the same request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use domain::job::{Evidence, Report, RunEnd, Usage};
use domain::{AgentId, Digest, Resources, Span};
use protocol::agents::{AgentInfo, Enrolled};
use protocol::leases::{
    ClaimReply, ClaimRequest, Finish, FinishReply, FinishRequest, FinishResult, Held, Lease, Proof,
    RenewReply, RenewRequest, Renewal, Standing,
};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::tally::Tally;
use super::wire::Wire;
use super::{Crew, STALL_MAX};

/// How long a claim is parked.
const CLAIM_WAIT: Duration = Duration::from_secs(50);
/// An agent renews its leases this often within the time that they live.
const RENEWALS_PER_TTL: u32 = 3;

/// How long the session's request is parked.
const REFRESH: Duration = Duration::from_secs(10);

/// What an agent is before it connects.
pub(super) struct Agent {
    info: AgentInfo,
    crew: Crew,
    tally: Arc<Tally>,
}

/// An agent that has enrolled.
struct Enlisted {
    agent: Agent,
    wire: Wire,
    renew_every: Duration,
}

impl Agent {
    pub(super) fn new(number: usize, crew: Crew, tally: Arc<Tally>) -> anyhow::Result<Self> {
        let info = AgentInfo {
            id: format!("01k2b3c4d5e6f7g8h9j0{number:06}").parse()?,
            name: format!("sim-{number}").parse()?,
            fingerprint: Digest::of(b"simulated"),
            labels: BTreeMap::new(),
            capacity: Resources::default(),
            slots: crew.slots,
            executor: "none".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(Self { info, crew, tally })
    }

    /// Connects, enrols and works until something fails. `gate` limits how many start at the same time.
    pub(super) async fn live(self, address: &str, token: &str, gate: Arc<Semaphore>) -> anyhow::Result<()> {
        let turn = gate.acquire().await?;
        let (wire, connection) = Wire::connect(address, token).await?;
        let (info, has_session) = (self.info.clone(), self.crew.has_sessions);
        let session = async {
            if has_session {
                session(&info, address, token).await
            } else {
                std::future::pending().await
            }
        };
        let life = async {
            let mut enlisted = self.enrol(wire).await?;
            drop(turn);
            tokio::select! {
                ended = enlisted.work() => ended,
                ended = session => ended,
            }
        };
        tokio::select! {
            ended = life => ended,
            ended = connection => ended.context("the connection ended"),
        }
    }

    async fn enrol(self, mut wire: Wire) -> anyhow::Result<Enlisted> {
        let enrolled: Enrolled = wire.post("/v1/agents", &self.info, STALL_MAX).await?;
        Ok(Enlisted {
            agent: self,
            wire,
            renew_every: Duration::from_millis(enrolled.ttl_ms) / RENEWALS_PER_TTL,
        })
    }

    fn claim(&self, wait: Duration) -> ClaimRequest {
        ClaimRequest {
            agent: self.info.id.clone(),
            slots: self.info.slots,
            ahead: None,
            free: Resources::default(),
            held: Vec::new(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            enrol: None,
        }
    }

    fn id(&self) -> &AgentId {
        &self.info.id
    }
}

impl Enlisted {
    async fn work(&mut self) -> anyhow::Result<()> {
        loop {
            let mut leases = self.wait_for_leases().await?;
            while !leases.is_empty() {
                self.agent.tally.claimed(&leases, Instant::now());
                self.hold(&leases).await?;
                leases = self.finish(&leases).await?;
            }
        }
    }

    async fn wait_for_leases(&mut self) -> anyhow::Result<Vec<Lease>> {
        let claim = self.agent.claim(CLAIM_WAIT);
        let _parked = self.agent.tally.park();
        let reply: ClaimReply = self
            .wire
            .post("/v1/claims", &claim, CLAIM_WAIT + STALL_MAX)
            .await?;
        Ok(reply.leases)
    }

    /// Holds the leases for as long as this fleet does, and renews them meanwhile.
    async fn hold(&mut self, leases: &[Lease]) -> anyhow::Result<()> {
        let until = Instant::now() + self.agent.crew.hold;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left <= self.renew_every {
                // tokio's timer counts whole milliseconds; no hold is no wait at all.
                if !left.is_zero() {
                    sleep(left).await;
                }
                return Ok(());
            }
            sleep(self.renew_every).await;
            self.renew(leases).await?;
        }
    }

    async fn renew(&mut self, leases: &[Lease]) -> anyhow::Result<()> {
        let proof = |lease: &Lease| Proof {
            job: lease.job.clone(),
            token: lease.token.clone(),
        };
        let request = RenewRequest {
            agent: self.agent.id().clone(),
            leases: leases.iter().map(proof).map(Renewal::from).collect(),
        };
        let reply: RenewReply = self.wire.post("/v1/leases/renew", &request, STALL_MAX).await?;
        self.agent.tally.renewed(leases.len());
        ensure!(
            reply.standings.iter().all(|standing| *standing == Standing::Live),
            "a lease is not live: {:?}",
            reply.standings
        );
        Ok(())
    }

    /// Reports all leases as done and returns the next ones, if there are any.
    async fn finish(&mut self, leases: &[Lease]) -> anyhow::Result<Vec<Lease>> {
        let held = |lease: &Lease| Held {
            job: lease.job.clone(),
            attempt: lease.attempt,
        };
        let claim = ClaimRequest {
            held: leases.iter().map(held).collect(),
            ..self.agent.claim(Duration::ZERO)
        };
        let request = FinishRequest {
            finishes: leases.iter().map(finish).collect(),
            claim: Some(claim),
        };
        let reply: FinishReply = self.wire.post("/v1/leases/finish", &request, STALL_MAX).await?;
        ensure!(
            reply.results.iter().all(|result| *result == FinishResult::Done),
            "a finish is not recorded: {:?}",
            reply.results
        );
        self.agent.tally.done(leases.len());
        Ok(reply.claim.map(|claim| claim.leases).unwrap_or_default())
    }
}

/// Keeps the agent known, as the session of the shipped one does: by a request of its own, which is parked and repeated.
async fn session(info: &AgentInfo, address: &str, token: &str) -> anyhow::Result<()> {
    let (mut wire, connection) = Wire::connect(address, token).await?;
    let refresh = async {
        loop {
            let _enrolled: Enrolled = wire.post_parked("/v1/agents", info, (REFRESH, STALL_MAX)).await?;
        }
    };
    tokio::select! {
        ended = refresh => ended,
        ended = connection => ended.context("the connection of a session ended"),
    }
}

/// What an agent reports of a command that wrote nothing.
pub(crate) fn finish(lease: &Lease) -> Finish {
    let evidence = Evidence {
        log_bytes: 0,
        log_digest: Digest::of(b""),
        artifacts: 0,
        ran: Span::from_millis(1),
        usage: Usage::default(),
    };
    Finish {
        job: lease.job.clone(),
        token: lease.token.clone(),
        report: Report {
            end: RunEnd::Succeeded,
            evidence: Some(evidence),
        },
        log: None,
        artifacts: Vec::new(),
    }
}
