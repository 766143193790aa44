//! Finishes: what ended runs report is checked here for everything but the rules, and recorded in one commit.
//!
//! One bad report must not refuse the others of its request, so whatever could make the commit fail as a whole is
//! found here: a log or manifest that is too large, words without an end. Why a lease is lost is the ledger's to say.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::job::{Report, RunEnd};
use domain::spec::is_safe_path;
use domain::{Cause, Refused};
use ledger::record::{self, ArtifactRecord, ArtifactsRecord};
use ledger::{FinishItem, FinishRefused, LogRefused};
use protocol::Problem;
use protocol::jobs::Artifact;
use protocol::leases::{Finish, FinishReply, FinishRequest, FinishResult, Proof};
use protocol::limits::{ARTIFACTS_MAX, FINISH_LOG_BYTES_MAX, INLINE_LOG_BYTES_MAX};
use vault::transfer::Presence;

use super::{at_most, grant, proven, refuse};
use crate::coordinator::Coordinator;
use crate::http::Shared;
use crate::http::extract::{AgentCaller, JsonBody};
use crate::http::problem::Failed;

/// Most bytes of a stored manifest: it is one record.
const MANIFEST_BYTES_MAX: usize = 1 << 20;
/// Characters of a cause's words that are kept.
const CAUSE_CHARS_MAX: usize = 1_000;

/// `POST /v1/leases/finish`: records ended runs, then answers the claim that came along.
pub(in crate::http) async fn finish(
    State(coordinator): Shared,
    _: AgentCaller,
    JsonBody(request): JsonBody<FinishRequest>,
) -> Result<Json<FinishReply>, Failed> {
    at_most(request.finishes.len())?;
    let logs = request.finishes.iter().filter_map(|finish| finish.log.as_ref());
    let log_bytes: usize = logs.map(bytes::Bytes::len).sum();
    if log_bytes > FINISH_LOG_BYTES_MAX {
        let detail =
            format!("{log_bytes} bytes of logs: at most {FINISH_LOG_BYTES_MAX} travel with one request");
        return Err(Failed::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_many_log_bytes",
            detail,
        ));
    }
    let results = record_finishes(&coordinator, request.finishes).await?;
    fail::fail_point!(crate::fail_points::FINISHED, |_| {
        Err(ledger::LedgerError::no_answer(Duration::ZERO).into())
    });
    let claim = match request.claim {
        // What was finished stays finished, whatever becomes of the claim.
        Some(claim) => grant(&coordinator, claim, Duration::ZERO).await.ok(),
        None => None,
    };
    Ok(Json(FinishReply { results, claim }))
}

async fn record_finishes(
    coordinator: &Arc<Coordinator>,
    finishes: Vec<Finish>,
) -> Result<Vec<FinishResult>, Failed> {
    let mut answers: Vec<Option<FinishResult>> = Vec::with_capacity(finishes.len());
    let mut items = Vec::new();
    for finish in finishes {
        answers.push(match finish_item(coordinator, finish).await {
            Ok(item) => {
                items.push(item);
                None
            }
            Err(failed) => Some(FinishResult::Refused(*failed.0)),
        });
    }
    let recorded = coordinator.ledger.finish(&items).await;
    let done = recorded.iter().filter(|outcome| outcome.is_ok()).count();
    coordinator.metrics.finished(done);
    for (item, outcome) in items.iter().zip(&recorded) {
        if let Err(FinishRefused::Rules(why @ Refused::StaleLease { .. })) = outcome {
            refuse(coordinator, &item.lease.job, "finish", &why.to_string());
        }
    }
    let mut outcomes = recorded.into_iter();
    let results = answers.into_iter().map(|answer| {
        answer.unwrap_or_else(|| match outcomes.next() {
            Some(Ok(())) => FinishResult::Done,
            Some(Err(refused)) => FinishResult::Refused(*Failed::from(refused).0),
            None => FinishResult::Refused(Problem::new(500, "no_outcome", "the finish has no outcome")),
        })
    });
    Ok(results.collect())
}

/// Checks what a finish brings along: its token, its log's size, and that the blobs of its manifest are in the vault.
async fn finish_item(coordinator: &Coordinator, finish: Finish) -> Result<FinishItem, Failed> {
    let Finish {
        job,
        token,
        report,
        log,
        artifacts,
    } = finish;
    let proof = Proof { job, token };
    let lease = proven(coordinator, &proof, "finish").ok_or(LogRefused::LeaseLost)?;
    let log = log.map(|bytes| bytes.to_vec());
    let bytes = log.as_ref().map_or(0, Vec::len);
    if bytes > INLINE_LOG_BYTES_MAX {
        let detail = format!(
            "a log of {bytes} bytes: at most {INLINE_LOG_BYTES_MAX} travel with a finish, ship it before"
        );
        return Err(Failed::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "inline_log_too_large",
            detail,
        ));
    }
    let artifacts = manifest(coordinator, artifacts).await?;
    Ok(FinishItem {
        lease,
        report: bounded(report, artifacts.len()),
        log,
        artifacts,
    })
}

/// The manifest, once each of its blobs is known to be there in its size.
async fn manifest(coordinator: &Coordinator, files: Vec<Artifact>) -> Result<Vec<ArtifactRecord>, Failed> {
    if files.len() > ARTIFACTS_MAX {
        let detail = format!("{} artifacts: at most {ARTIFACTS_MAX} are kept", files.len());
        return Err(Failed::bad_request("too_many_artifacts", detail));
    }
    let mut artifacts = Vec::with_capacity(files.len());
    for file in files {
        let Artifact {
            path,
            size,
            digest,
            executable,
        } = file;
        if !is_safe_path(&path) {
            let detail = format!("artifact `{path}`: a path is relative, without `.`, `..` or empty parts");
            return Err(Failed::bad_request("bad_artifact", detail));
        }
        match coordinator.vault.presence(digest).await? {
            Presence::Whole(stored) if stored == size => {}
            Presence::Whole(_) | Presence::Partial(_) | Presence::Absent => {
                let detail = format!("the blob {digest} of `{path}` is not in the vault with {size} bytes");
                return Err(Failed::new(StatusCode::CONFLICT, "blob_missing", detail));
            }
        }
        artifacts.push(ArtifactRecord {
            path,
            size,
            digest,
            executable,
        });
    }
    let record = ArtifactsRecord { files: artifacts };
    let bytes = record::encode(&record).len();
    if bytes > MANIFEST_BYTES_MAX {
        let detail = format!("a manifest of {bytes} bytes: at most {MANIFEST_BYTES_MAX} are kept");
        return Err(Failed::bad_request("manifest_too_large", detail));
    }
    Ok(record.files)
}

/// The report as it is kept: words cut to their limit, and the number of artifacts that came along.
fn bounded(mut report: Report, artifacts: usize) -> Report {
    if let RunEnd::Failed(
        Cause::ArtifactMissing { glob: words }
        | Cause::ArtifactRefused { why: words }
        | Cause::CannotStart { why: words }
        | Cause::AgentFault { why: words }
        | Cause::InputMissing { path: words },
    ) = &mut report.end
        && let Some((end, _)) = words.char_indices().nth(CAUSE_CHARS_MAX)
    {
        words.truncate(end);
    }
    if let Some(evidence) = &mut report.evidence {
        evidence.artifacts = u32::try_from(artifacts).expect("a manifest has at most ARTIFACTS_MAX files");
    }
    report
}
