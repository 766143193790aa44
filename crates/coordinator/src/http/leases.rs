//! Leases: claiming, renewing, shipping logs, finishing and giving back.
//!
//! Every write names a lease token; what the token does not prove is refused, counted and kept in the ring of refusals.

mod finish;
mod log;

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::plan::{Ahead, Seeker};
use domain::{AgentId, JobId, ProvenLease};
use ledger::record::AgentRecord;
use ledger::{ApplyError, Granted, RenewItem, Renewed};
use protocol::leases::{
    ClaimReply, ClaimRequest, Lease, Proof, ReleaseRequest, RenewReply, RenewRequest, Standing,
};
use protocol::limits::{LEASES_PER_REQUEST_MAX, SLOTS_MAX, WAIT_MAX};
use serde_json::json;
use supervision::AskError;
use tokio::time::Instant;

pub(super) use self::finish::finish;
pub(super) use self::log::log;

use crate::agents_seen::RECORD_EVERY;
use crate::coordinator::Coordinator;
use crate::dispatch::{self, Answer};
use crate::http::Shared;
use crate::http::agents;
use crate::http::extract::{Admin, AgentCaller, JsonBody};
use crate::http::problem::Failed;
use crate::jitter;
use crate::refusals::Refusal;

/// How long dispatch may take beyond the claim's own wait.
const DISPATCH_MAX: Duration = Duration::from_secs(10);

/// `POST /v1/claims`: parks until there is work or the wait is over.
pub(super) async fn claim(
    State(coordinator): Shared,
    _: AgentCaller,
    JsonBody(request): JsonBody<ClaimRequest>,
) -> Result<Json<ClaimReply>, Failed> {
    let wait = Duration::from_millis(request.wait_ms).min(WAIT_MAX);
    Ok(Json(grant(&coordinator, request, wait).await?))
}

async fn grant(
    coordinator: &Arc<Coordinator>,
    mut request: ClaimRequest,
    wait: Duration,
) -> Result<ClaimReply, Failed> {
    if request.slots > SLOTS_MAX {
        let detail = format!("`{}` slots: at most {SLOTS_MAX} can be asked for", request.slots);
        return Err(Failed::bad_request("bad_claim", detail));
    }
    if let Some(info) = request.enrol.take() {
        if info.id != request.agent {
            let detail = format!("agent {} cannot enrol agent {}", request.agent, info.id);
            return Err(Failed::bad_request("bad_claim", detail));
        }
        agents::record(coordinator, *info).await?;
    }
    // From before the drain intent is read: dispatch reads it again if it may have changed since.
    let changes = coordinator.signals.agents();
    let agent = known_agent(coordinator, &request.agent).await?;
    let draining = coordinator.ledger.draining(&agent.name).await?;
    let listed: HashSet<String> = request
        .held
        .iter()
        .map(|held| held.job.ulid().to_owned())
        .collect();
    let unlisted = unlisted(coordinator, &agent.id, &listed).await?;
    if !unlisted.is_empty() {
        // A reply was lost. The agent hears of what it has before it gets more.
        return Ok(reply(coordinator, unlisted, draining));
    }
    let ahead = request.ahead.map(|wish| Ahead {
        lane: wish.lane,
        n: wish.n,
    });
    let offer = agent.offer(request.free, draining);
    let id = agent.id.clone();
    let claim = |reply| {
        let agent = agent.reference();
        let seeker = Seeker {
            offer,
            slots: request.slots,
            ahead,
        };
        let deadline = Instant::now() + wait;
        dispatch::Msg::Claim(Box::new(dispatch::Claim {
            agent,
            seeker,
            deadline,
            changes,
            reply,
        }))
    };
    let asked = coordinator.dispatch.ask(claim, wait + DISPATCH_MAX);
    let answer = parked(coordinator, &id, &listed, asked).await?;
    Ok(reply(coordinator, answer.leases, draining || answer.draining))
}

/// Waits for dispatch. An agent that waits counts as seen, one whose coordinator stops may go to another at once, and
/// one for which another coordinator has committed a claim without being able to tell it is told here.
async fn parked(
    coordinator: &Coordinator,
    agent: &AgentId,
    listed: &HashSet<String>,
    asked: impl Future<Output = Result<Answer, AskError>>,
) -> Result<Answer, Failed> {
    let mut asked = pin!(asked);
    let closing = coordinator.connections.closing();
    loop {
        tokio::select! {
            biased;
            answer = &mut asked => return Ok(answer?),
            () = closing.cancelled() => {
                return Ok(Answer { leases: Vec::new(), draining: false });
            }
            // Beside the rest, for it may hang as long as the nexus does.
            untold = untold_later(coordinator, agent, listed) => match untold {
                Ok(leases) if leases.is_empty() => {}
                Ok(leases) => return Ok(Answer { leases, draining: false }),
                Err(error) => {
                    tracing::debug!(agent.id = %agent, %error, "nobody knows whether a waiting agent has a lease");
                }
            }
        }
    }
}

/// After a while, what a parked agent was given meanwhile by somebody who could not tell it.
async fn untold_later(
    coordinator: &Coordinator,
    agent: &AgentId,
    listed: &HashSet<String>,
) -> Result<Vec<Granted>, ledger::LedgerError> {
    let often = (coordinator.config.lease_ttl / 3).min(RECORD_EVERY);
    tokio::time::sleep(jitter::around(often)).await;
    coordinator.agents.saw(agent, Instant::now());
    unlisted(coordinator, agent, listed).await
}

/// The leases that an agent has and does not list, to tell it of them. Not those that are on their way back.
async fn unlisted(
    coordinator: &Coordinator,
    agent: &AgentId,
    listed: &HashSet<String>,
) -> Result<Vec<Granted>, ledger::LedgerError> {
    let ttl = coordinator.config.lease_ttl;
    coordinator
        .ledger
        .tell(agent, |ulid| listed.contains(ulid), ttl)
        .await
}

fn reply(coordinator: &Coordinator, leases: Vec<Granted>, draining: bool) -> ClaimReply {
    let leases = leases
        .into_iter()
        .filter_map(|granted| lease(coordinator, granted))
        .collect();
    ClaimReply { leases, draining }
}

/// A lease as its agent hears of it. None for a job that does not run, which is granted to nobody.
fn lease(coordinator: &Coordinator, granted: Granted) -> Option<Lease> {
    let Granted { job, spec, .. } = granted;
    let domain::State::Running(running) = &job.state else {
        return None;
    };
    Some(Lease {
        token: coordinator.seal().token(&job.id, job.attempt, &running.agent.id),
        attempt: job.attempt,
        ttl_ms: u64::try_from(coordinator.config.lease_ttl.as_millis()).unwrap_or(u64::MAX),
        cancel: running.cancel.is_some(),
        lane: job.lane,
        spec,
        job: job.id,
    })
}

/// The agent's record; also notes that it was seen.
async fn known_agent(coordinator: &Coordinator, id: &AgentId) -> Result<AgentRecord, Failed> {
    let unknown = || {
        let detail = format!("agent {id} is not known here; enrol with POST /v1/agents first");
        Failed::new(StatusCode::CONFLICT, "agent_unknown", detail)
    };
    let record = coordinator.ledger.agent(id).await?.ok_or_else(unknown)?;
    coordinator.agents.saw(id, Instant::now());
    Ok(record)
}

/// `POST /v1/leases/renew`: one standing for each lease, and the leases that the agent did not list.
pub(super) async fn renew(
    State(coordinator): Shared,
    _: AgentCaller,
    JsonBody(request): JsonBody<RenewRequest>,
) -> Result<Json<RenewReply>, Failed> {
    at_most(request.leases.len())?;
    let agent = known_agent(&coordinator, &request.agent).await?;
    let proven: Vec<Option<RenewItem>> = request
        .leases
        .iter()
        .map(|renewal| {
            let proof = Proof {
                job: renewal.job.clone(),
                token: renewal.token.clone(),
            };
            Some(RenewItem {
                attempt: proven_of(&coordinator, &proof, &agent.id)?,
                job: proof.job,
                ran: Duration::from_millis(renewal.ran_ms),
            })
        })
        .collect();
    let items: Vec<RenewItem> = proven.iter().flatten().cloned().collect();
    let ttl = coordinator.config.lease_ttl;
    let mut renewed = coordinator
        .ledger
        .renew(&agent.reference(), &items, ttl)
        .await?
        .into_iter();
    let standings = proven
        .iter()
        .map(
            |item| match item.as_ref().and_then(|item| Some((item, renewed.next()?))) {
                Some((_, Renewed::Live)) => Standing::Live,
                Some((_, Renewed::Cancel)) => Standing::Cancel,
                Some((item, Renewed::Lost)) => {
                    refuse(&coordinator, &item.job, "renew", "the lease was lost");
                    Standing::Lost
                }
                // Not proven, and on record as that.
                None => Standing::Lost,
            },
        )
        .collect();
    let listed: HashSet<String> = request
        .leases
        .iter()
        .map(|proof| proof.job.ulid().to_owned())
        .collect();
    let unlisted = unlisted(&coordinator, &agent.id, &listed)
        .await?
        .into_iter()
        .filter_map(|granted| lease(&coordinator, granted))
        .collect();
    let draining = coordinator.ledger.draining(&agent.name).await?;
    Ok(Json(RenewReply {
        standings,
        unlisted,
        draining,
        era: coordinator.signals.era(),
    }))
}

/// `POST /v1/leases/release`: gives leases back that were never started. A lease that is lost is as good as returned.
pub(super) async fn release(
    State(coordinator): Shared,
    _: AgentCaller,
    JsonBody(request): JsonBody<ReleaseRequest>,
) -> Result<Json<serde_json::Value>, Failed> {
    at_most(request.leases.len())?;
    for proof in &request.leases {
        let Some(lease) = proven(&coordinator, proof, "release") else {
            continue;
        };
        match coordinator.ledger.give_back(&lease, request.why).await {
            Ok(_) => {}
            // Not the agent's any more, which is what it wants.
            Err(error @ (ApplyError::Refused(_) | ApplyError::Unknown(_))) => {
                refuse(&coordinator, &proof.job, "release", &error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
    // Agents read every reply as JSON.
    Ok(Json(json!({})))
}

/// `GET /v1/leases/refusals`: the newest refused writes, for people who look for a misbehaving agent.
pub(super) async fn refusals(State(coordinator): Shared, _: Admin) -> Json<Vec<Refusal>> {
    Json(coordinator.refusals.newest())
}

/// The lease that a proof proves. What it does not prove is put on record.
fn proven(coordinator: &Coordinator, proof: &Proof, request: &'static str) -> Option<ProvenLease> {
    let lease = coordinator.seal().lease(&proof.job, &proof.token);
    if lease.is_none() {
        refuse(
            coordinator,
            &proof.job,
            request,
            "the token does not prove a lease of this job",
        );
    }
    lease
}

/// The attempt that a renewal proves for the agent that sends it.
fn proven_of(coordinator: &Coordinator, proof: &Proof, agent: &AgentId) -> Option<u32> {
    let lease = proven(coordinator, proof, "renew")?;
    if lease.agent != *agent {
        refuse(coordinator, &proof.job, "renew", "the lease is another agent's");
        return None;
    }
    Some(lease.attempt)
}

fn refuse(coordinator: &Coordinator, job: &JobId, request: &'static str, why: &str) {
    coordinator.metrics.refused();
    coordinator.refusals.add(Refusal {
        job: job.clone(),
        request,
        why: why.to_owned(),
    });
}

fn at_most(n: usize) -> Result<(), Failed> {
    if n <= LEASES_PER_REQUEST_MAX {
        return Ok(());
    }
    let detail = format!("{n} leases: at most {LEASES_PER_REQUEST_MAX} are taken at once");
    Err(Failed::bad_request("too_many_leases", detail))
}
