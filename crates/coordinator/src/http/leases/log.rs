//! Logs as they arrive: chunks by offset into the tail, and the tail into the vault when it has grown.
//!
//! What is stored is the ledger's business; the one thing that only happens here is that bytes become a blob.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::{JobId, ProvenLease};
use ledger::record::Segment;
use ledger::{LogChunk, LogRefused, Rolled};
use protocol::LeaseToken;
use protocol::leases::{LEASE_HEADER, LogReceived, Proof};
use protocol::limits::LOG_CHUNK_BYTES_MAX;
use serde::Deserialize;

use super::{proven, refuse};
use crate::coordinator::Coordinator;
use crate::http::Shared;
use crate::http::extract::{AgentCaller, Query, RawBody, job_id};
use crate::http::problem::Failed;

/// How often a log is rolled anew because it changed meanwhile.
const ROLLS_MAX: usize = 8;

/// The query of `POST /v1/leases/log`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LogQuery {
    job: String,
    offset: u64,
}

/// `POST /v1/leases/log`: the body is a part of the framed log, at its offset.
pub(in crate::http) async fn log(
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
    let lease = proven(&coordinator, &proof, "log").ok_or(LogRefused::LeaseLost)?;
    let chunk = LogChunk {
        offset: query.offset,
        bytes: body.to_vec(),
    };
    let stored = store_chunk(&coordinator, &lease, chunk).await?;
    Ok(Json(LogReceived { stored }))
}

/// Appends a chunk to the tail, or rolls the tail and the chunk into the vault when the tail would grow too long.
async fn store_chunk(coordinator: &Coordinator, lease: &ProvenLease, chunk: LogChunk) -> Result<u64, Failed> {
    let (ledger, job, attempt) = (&coordinator.ledger, &lease.job, lease.attempt);
    for _ in 0..ROLLS_MAX {
        let status = ledger.log_status(job, attempt).await?;
        let stored = status.stored();
        if stored != chunk.offset {
            return Err(LogRefused::Offset { stored }.into());
        }
        if status.record.value.tail_bytes + (chunk.bytes.len() as u64) <= ledger::TAIL_BYTES_MAX {
            let appended = ledger.append_log(lease, &chunk).await;
            return settled(coordinator, job, appended);
        }
        let mut bytes = ledger.log_tail(job, attempt).await?;
        bytes.extend_from_slice(&chunk.bytes);
        let segment = Segment::of(&bytes);
        coordinator
            .vault
            .put_bytes(bytes.into(), Some(segment.digest))
            .await?;
        let rolled = Rolled {
            from: status,
            segment,
        };
        match ledger.roll_log(lease, rolled).await {
            Err(LogRefused::Changed) => {}
            rolled => return settled(coordinator, job, rolled),
        }
    }
    Err(LogRefused::Changed.into())
}

fn settled(coordinator: &Coordinator, job: &JobId, stored: Result<u64, LogRefused>) -> Result<u64, Failed> {
    if matches!(stored, Err(LogRefused::LeaseLost)) {
        refuse(coordinator, job, "log", "the lease was lost");
    }
    Ok(stored?)
}
