//! Leases: claiming, renewing, shipping logs, finishing and giving back.
//!
//! Every write names a lease token; what the token does not prove is refused, counted and kept in the ring of refusals.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::plan::{Ahead, Seeker};
use domain::{AgentRef, JobEvent, JobId};
use ledger::record::{AgentRecord, ArtifactRecord, Segment};
use ledger::{FinishItem, FinishRefused, Granted, LogChunk, LogRefused, RenewItem, Renewed, Rolled};
use protocol::leases::{
    ClaimReply, ClaimRequest, Finish, FinishReply, FinishRequest, FinishResult, LEASE_HEADER, Lease,
    LogReceived, Proof, ReleaseRequest, RenewReply, RenewRequest, Standing,
};
use protocol::limits::{ARTIFACTS_MAX, LEASES_PER_REQUEST_MAX, LOG_CHUNK_BYTES_MAX, SLOTS_MAX, WAIT_MAX};
use protocol::{LeaseToken, Problem};
use serde::Deserialize;
use tokio::time::Instant;

use crate::coordinator::Coordinator;
use crate::dispatch;
use crate::http::Shared;
use crate::http::agents;
use crate::http::extract::{Admin, AgentCaller, JsonBody, Query, RawBody, job_id};
use crate::http::problem::Failed;
use crate::refusals::Refusal;

/// How long dispatch may take beyond the claim's own wait.
const DISPATCH_MAX: Duration = Duration::from_secs(10);
/// How often a log is rolled anew because it changed meanwhile.
const ROLLS_MAX: usize = 8;

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
        agents::record(coordinator, *info).await?;
    }
    let agent = known_agent(coordinator, &request.agent).await?;
    let draining = coordinator.ledger.draining(&agent.name).await?;
    let listed: HashSet<&str> = request.held.iter().map(|held| held.job.ulid()).collect();
    let unlisted = coordinator
        .ledger
        .leases_of(&agent.id, |ulid| listed.contains(ulid))
        .await?;
    if !unlisted.is_empty() {
        // A reply was lost. The agent hears of what it has before it gets more.
        return Ok(reply(coordinator, unlisted, draining));
    }
    let ahead = request.ahead.map(|wish| Ahead {
        lane: wish.lane,
        n: wish.n,
    });
    let offer = agent.offer(request.free, draining);
    let claim = |reply| {
        let agent = AgentRef {
            id: agent.id,
            name: agent.name,
            fingerprint: agent.fingerprint,
        };
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
            reply,
        }))
    };
    let answer = coordinator.dispatch.ask(claim, wait + DISPATCH_MAX).await?;
    Ok(reply(coordinator, answer.leases, answer.draining))
}

fn reply(coordinator: &Coordinator, leases: Vec<Granted>, draining: bool) -> ClaimReply {
    let leases = leases
        .into_iter()
        .map(|granted| lease(coordinator, granted))
        .collect();
    ClaimReply { leases, draining }
}

fn lease(coordinator: &Coordinator, granted: Granted) -> Lease {
    let Granted { job, spec } = granted;
    let cancel = matches!(&job.state, domain::State::Running(running) if running.cancel.is_some());
    Lease {
        token: coordinator.seal.token(&job.id, job.attempt),
        attempt: job.attempt,
        lane: job.lane,
        ttl_ms: u64::try_from(coordinator.config.lease_ttl.as_millis()).unwrap_or(u64::MAX),
        cancel,
        spec,
        job: job.id,
    }
}

/// The agent's record; also notes that it was seen.
async fn known_agent(coordinator: &Coordinator, id: &domain::AgentId) -> Result<AgentRecord, Failed> {
    let unknown = || {
        let detail = format!("agent {id} is not known here; enrol with POST /v1/agents first");
        Failed::new(StatusCode::CONFLICT, "agent_unknown", detail)
    };
    let record = coordinator.ledger.agent(id).await?.ok_or_else(unknown)?;
    if coordinator.agents.is_due(id, Instant::now()) {
        coordinator.ledger.touch(id).await?;
    }
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
        .map(|proof| {
            Some(RenewItem {
                attempt: proven(&coordinator, proof, "renew")?,
                job: proof.job.clone(),
            })
        })
        .collect();
    let items: Vec<RenewItem> = proven.iter().flatten().cloned().collect();
    let ttl = coordinator.config.lease_ttl;
    let mut renewed = coordinator
        .ledger
        .renew(&agent.id, &items, ttl)
        .await?
        .into_iter();
    let standings = proven
        .iter()
        .map(|item| match item.as_ref().and_then(|_| renewed.next()) {
            Some(Renewed::Live) => Standing::Live,
            Some(Renewed::Cancel) => Standing::Cancel,
            Some(Renewed::Lost) | None => Standing::Lost,
        })
        .collect();
    let listed: HashSet<&str> = request.leases.iter().map(|proof| proof.job.ulid()).collect();
    let unlisted = coordinator
        .ledger
        .leases_of(&agent.id, |ulid| listed.contains(ulid))
        .await?;
    let unlisted = unlisted
        .into_iter()
        .map(|granted| lease(&coordinator, granted))
        .collect();
    let draining = coordinator.ledger.draining(&agent.name).await?;
    Ok(Json(RenewReply {
        standings,
        unlisted,
        draining,
    }))
}

/// The query of `POST /v1/leases/log`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    job: String,
    offset: u64,
}

/// `POST /v1/leases/log`: the body is a part of the framed log, at its offset.
pub(super) async fn log(
    State(coordinator): Shared,
    _: AgentCaller,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<LogReceived>, Failed> {
    let job = job_id(&coordinator, &query.job)?;
    if body.len() > LOG_CHUNK_BYTES_MAX {
        let detail = format!(
            "a chunk of {} bytes: at most {LOG_CHUNK_BYTES_MAX} are taken at once",
            body.len()
        );
        return Err(Failed::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "chunk_too_large",
            detail,
        ));
    }
    let token = headers
        .get(LEASE_HEADER)
        .and_then(|token| token.to_str().ok())
        .unwrap_or_default();
    let proof = Proof {
        job,
        token: LeaseToken::from(token.to_owned()),
    };
    let attempt = proven(&coordinator, &proof, "log").ok_or(LogRefused::LeaseLost)?;
    let chunk = LogChunk {
        offset: query.offset,
        bytes: body.to_vec(),
    };
    let stored = store_chunk(&coordinator, &proof.job, attempt, chunk).await;
    if matches!(stored, Err(LogRefused::LeaseLost)) {
        refuse(&coordinator, &proof.job, "log", "the lease was lost");
    }
    Ok(Json(LogReceived { stored: stored? }))
}

/// Appends a chunk to the tail, or rolls the tail and the chunk into the vault when the tail would grow too long.
async fn store_chunk(
    coordinator: &Coordinator,
    job: &JobId,
    attempt: u32,
    chunk: LogChunk,
) -> Result<u64, LogRefused> {
    let ledger = &coordinator.ledger;
    for _ in 0..ROLLS_MAX {
        let status = ledger.log_status(job, attempt).await?;
        let stored = status.record.stored();
        if stored != chunk.offset {
            return Err(LogRefused::Offset { stored });
        }
        if status.record.tail_bytes + (chunk.bytes.len() as u64) <= ledger::TAIL_BYTES_MAX {
            return ledger.append_log(job, attempt, &chunk).await;
        }
        let mut bytes = ledger.log_tail(job, attempt).await?;
        bytes.extend_from_slice(&chunk.bytes);
        let segment = Segment::of(&bytes);
        if let Err(error) = coordinator
            .vault
            .put_bytes(bytes.into(), Some(segment.digest))
            .await
        {
            tracing::warn!(job.id = %job, %error, "a log segment could not be stored; the agent sends it again");
            return Err(ledger::LedgerError::Full.into());
        }
        match ledger
            .roll_log(
                job,
                attempt,
                Rolled {
                    from: status,
                    segment,
                },
            )
            .await
        {
            Err(LogRefused::Changed) => {}
            rolled => return rolled,
        }
    }
    Err(LogRefused::Changed)
}

/// `POST /v1/leases/finish`: records ended runs, then answers the claim that came along.
pub(super) async fn finish(
    State(coordinator): Shared,
    _: AgentCaller,
    JsonBody(request): JsonBody<FinishRequest>,
) -> Result<Json<FinishReply>, Failed> {
    at_most(request.finishes.len())?;
    let results = record_finishes(&coordinator, request.finishes).await?;
    let claim = match request.claim {
        // What was finished stays finished, whatever becomes of the claim.
        Some(claim) => grant(&coordinator, claim, Duration::ZERO).await.ok(),
        None => None,
    };
    Ok(Json(FinishReply { results, claim }))
}

async fn record_finishes(
    coordinator: &Coordinator,
    finishes: Vec<Finish>,
) -> Result<Vec<FinishResult>, Failed> {
    let mut answers: Vec<Option<FinishResult>> = Vec::with_capacity(finishes.len());
    let mut items = Vec::new();
    for finish in finishes {
        let job = finish.job.clone();
        let item = finish_item(coordinator, finish).await;
        answers.push(match item {
            Ok(item) => {
                items.push(item);
                None
            }
            Err(failed) => {
                refuse(coordinator, &job, "finish", &failed.0.detail);
                Some(FinishResult::Refused(*failed.0))
            }
        });
    }
    let recorded = coordinator.ledger.finish(&items).await;
    let mut outcomes = Vec::with_capacity(items.len());
    for (item, outcome) in items.iter().zip(recorded) {
        if let Err(FinishRefused::Rules(why)) = &outcome {
            refuse(coordinator, &item.job, "finish", &why.to_string());
        }
        outcomes.push(outcome);
    }
    coordinator
        .metrics
        .finished(outcomes.iter().filter(|outcome| outcome.is_ok()).count());
    let mut outcomes = outcomes.into_iter();
    let results = answers.into_iter().map(|answer| {
        answer.unwrap_or_else(|| match outcomes.next() {
            Some(Ok(())) => FinishResult::Done,
            Some(Err(refused)) => FinishResult::Refused(*Failed::from(refused).0),
            None => FinishResult::Refused(Problem::new(500, "no_outcome", "the finish has no outcome")),
        })
    });
    Ok(results.collect())
}

/// Checks what a finish brings along: its token, and that the blobs of its manifest are in the vault.
async fn finish_item(coordinator: &Coordinator, finish: Finish) -> Result<FinishItem, Failed> {
    let proof = Proof {
        job: finish.job,
        token: finish.token,
    };
    let attempt = coordinator
        .seal
        .attempt(&proof.job, &proof.token)
        .ok_or(LogRefused::LeaseLost)?;
    if finish.artifacts.len() > ARTIFACTS_MAX {
        let detail = format!(
            "{} artifacts: at most {ARTIFACTS_MAX} are kept",
            finish.artifacts.len()
        );
        return Err(Failed::bad_request("too_many_artifacts", detail));
    }
    let mut artifacts = Vec::with_capacity(finish.artifacts.len());
    for artifact in finish.artifacts {
        match coordinator.vault.presence(artifact.digest).await? {
            vault::transfer::Presence::Whole(size) if size == artifact.size => {}
            vault::transfer::Presence::Whole(_)
            | vault::transfer::Presence::Partial(_)
            | vault::transfer::Presence::Absent => {
                let detail = format!(
                    "the blob {} of `{}` is not in the vault",
                    artifact.digest, artifact.path
                );
                return Err(Failed::new(StatusCode::CONFLICT, "blob_missing", detail));
            }
        }
        let protocol::jobs::Artifact {
            path,
            size,
            digest,
            executable,
        } = artifact;
        artifacts.push(ArtifactRecord {
            path,
            size,
            digest,
            executable,
        });
    }
    let log = finish.log.map(|bytes| bytes.to_vec());
    Ok(FinishItem {
        job: proof.job,
        attempt,
        report: finish.report,
        log,
        artifacts,
    })
}

/// `POST /v1/leases/release`: gives leases back that were never started.
pub(super) async fn release(
    State(coordinator): Shared,
    _: AgentCaller,
    JsonBody(request): JsonBody<ReleaseRequest>,
) -> Result<StatusCode, Failed> {
    at_most(request.leases.len())?;
    for proof in &request.leases {
        let Some(attempt) = proven(&coordinator, proof, "release") else {
            continue;
        };
        let event = JobEvent::GivenBack {
            attempt,
            why: request.why,
        };
        match coordinator.ledger.apply(&proof.job, event).await {
            Ok(_) => {}
            // Not the agent's any more, which is what it wants.
            Err(ledger::ApplyError::Refused(why)) => {
                refuse(&coordinator, &proof.job, "release", &why.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/leases/refusals`: the newest refused writes, for people who look for a misbehaving agent.
pub(super) async fn refusals(State(coordinator): Shared, _: Admin) -> Json<Vec<Refusal>> {
    Json(coordinator.refusals.newest())
}

/// The attempt that a proof proves. What it does not prove is put on record.
fn proven(coordinator: &Coordinator, proof: &Proof, request: &'static str) -> Option<u32> {
    let attempt = coordinator.seal.attempt(&proof.job, &proof.token);
    if attempt.is_none() {
        refuse(
            coordinator,
            &proof.job,
            request,
            "the token does not prove a lease of this job",
        );
    }
    attempt
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
