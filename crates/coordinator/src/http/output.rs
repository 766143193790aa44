//! What an attempt wrote and left: its log as text or as a stream of events, its artifacts.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use domain::JobId;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, future, stream};
use ledger::LogPiece;
use protocol::frame::{Decoder, Stream as LogStream};
use protocol::jobs::{Artifact, ArtifactList};
use protocol::limits::LOG_CHUNK_BYTES_MAX;
use serde::Deserialize;

use crate::coordinator::Coordinator;
use crate::http::extract::{Admin, Path, Query, job_id, no_job};
use crate::http::problem::Failed;
use crate::http::{Shared, follow};

/// Largest segment that a log can have: a full tail and one chunk.
const SEGMENT_BYTES_MAX: u64 = ledger::TAIL_BYTES_MAX + LOG_CHUNK_BYTES_MAX as u64;

/// The query of `GET …/log`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    /// Only what this stream wrote.
    stream: Option<LogStream>,
}

/// `GET /v1/jobs/{job}/attempts/{n}/log`: text with ranges, or with `Accept: text/event-stream` the log as it grows.
pub(super) async fn log(
    State(coordinator): Shared,
    _: Admin,
    Path((job, attempt)): Path<(String, u32)>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = job_id(&coordinator, &job)?;
    known_attempt(&coordinator, &id, attempt).await?;
    let wants_events = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"));
    if wants_events {
        return follow::events(coordinator, id, attempt, &headers);
    }
    let text = text(Arc::clone(&coordinator), id, attempt, query.stream).await?;
    let plain = (
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    match headers.get(header::RANGE) {
        None => Ok(([plain], Body::from_stream(text)).into_response()),
        Some(range) => {
            let range = read_range(range)?;
            let said = HeaderValue::from_str(&format!("bytes {}-/*", range.start()))
                .unwrap_or_else(|_| HeaderValue::from_static("bytes */*"));
            let part = cut(text, range);
            let headers = [plain, (header::CONTENT_RANGE, said)];
            Ok((StatusCode::PARTIAL_CONTENT, headers, Body::from_stream(part)).into_response())
        }
    }
}

async fn known_attempt(coordinator: &Coordinator, id: &JobId, attempt: u32) -> Result<(), Failed> {
    let stored = coordinator.ledger.load(id).await?.ok_or_else(|| no_job(id))?;
    let newest = stored.job().attempt;
    if (1..=newest).contains(&attempt) {
        return Ok(());
    }
    let detail = format!("job {id} has no attempt {attempt}; the newest is {newest}");
    Err(Failed::not_found("attempt_unknown", detail))
}

/// The bytes that the streams wrote, piece by piece.
async fn text(
    coordinator: Arc<Coordinator>,
    id: JobId,
    attempt: u32,
    only: Option<LogStream>,
) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send, Failed> {
    let pieces = coordinator.ledger.log_pieces(&id, attempt).await?;
    let pieces = stream::iter(pieces).then(move |piece| {
        let coordinator = Arc::clone(&coordinator);
        async move { read_piece(&coordinator, piece).await }
    });
    let decoded = pieces.scan(Decoder::default(), move |decoder, piece| {
        let text = piece.and_then(|bytes| decode(decoder, &bytes, only));
        future::ready(Some(text))
    });
    Ok(decoded)
}

fn decode(decoder: &mut Decoder, bytes: &[u8], only: Option<LogStream>) -> std::io::Result<Bytes> {
    decoder.push(bytes);
    let mut text = Vec::new();
    while let Some(frame) = decoder.next_frame().map_err(std::io::Error::other)? {
        // Without a choice the command's own two streams are the log; the agent's notes are in the events.
        let wanted = only.map_or(frame.stream != LogStream::Agent, |only| only == frame.stream);
        if wanted {
            text.extend_from_slice(&frame.data);
        }
    }
    Ok(text.into())
}

/// The bytes of one piece of a log.
pub(super) async fn read_piece(coordinator: &Coordinator, piece: LogPiece) -> std::io::Result<Bytes> {
    match piece {
        LogPiece::Bytes(bytes) => Ok(bytes.into()),
        LogPiece::Segment(segment) => {
            let bytes = coordinator
                .vault
                .read_to_vec(segment.digest, SEGMENT_BYTES_MAX)
                .await;
            bytes.map(Bytes::from).map_err(std::io::Error::other)
        }
    }
}

/// Reads `bytes=a-b` or `bytes=a-`.
fn read_range(value: &HeaderValue) -> Result<RangeInclusive<u64>, Failed> {
    let parse = || {
        let (start, end) = value.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
        let end = if end.is_empty() {
            u64::MAX
        } else {
            end.parse().ok()?
        };
        Some(start.parse().ok()?..=end)
    };
    parse().filter(|range| !range.is_empty()).ok_or_else(|| {
        let detail = "a range is written `bytes=FIRST-` or `bytes=FIRST-LAST`";
        Failed::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad_range", detail)
    })
}

/// Cuts a range out of a stream of bytes.
fn cut(
    text: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    range: RangeInclusive<u64>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    let mut position: u64 = 0;
    text.map_ok(move |bytes| {
        let begin = position;
        position += bytes.len() as u64;
        let from = range.start().saturating_sub(begin).min(bytes.len() as u64);
        let to = range
            .end()
            .saturating_add(1)
            .saturating_sub(begin)
            .min(bytes.len() as u64);
        let index = |n: u64| usize::try_from(n).unwrap_or(bytes.len());
        bytes.slice(index(from)..index(to.max(from)))
    })
}

/// `GET /v1/jobs/{job}/attempts/{n}/artifacts`: the manifest, visible once the attempt is finished.
pub(super) async fn artifacts(
    State(coordinator): Shared,
    _: Admin,
    Path((job, attempt)): Path<(String, u32)>,
) -> Result<Json<ArtifactList>, Failed> {
    let id = job_id(&coordinator, &job)?;
    known_attempt(&coordinator, &id, attempt).await?;
    let manifest = coordinator.ledger.artifacts(&id, attempt).await?;
    let items = manifest.files.into_iter().map(|file| Artifact {
        path: file.path,
        size: file.size,
        digest: file.digest,
        executable: file.executable,
    });
    Ok(Json(ArtifactList {
        items: items.collect(),
    }))
}

/// `GET /v1/jobs/{job}/attempts/{n}/artifacts/{path}`: one file. Always an attachment: a page that a job made must
/// not run as a page of ours.
pub(super) async fn artifact(
    State(coordinator): Shared,
    _: Admin,
    Path((job, attempt, path)): Path<(String, u32, String)>,
) -> Result<Response, Failed> {
    let id = job_id(&coordinator, &job)?;
    let manifest = coordinator.ledger.artifacts(&id, attempt).await?;
    let file = manifest
        .files
        .into_iter()
        .find(|file| file.path == path)
        .ok_or_else(|| {
            Failed::not_found(
                "artifact_unknown",
                format!("attempt {attempt} of {id} left no artifact `{path}`"),
            )
        })?;
    let content = coordinator.vault.stream(file.digest).await?;
    let headers = [
        (header::CONTENT_LENGTH, file.size.to_string()),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        (header::ETAG, format!("\"{}\"", file.digest)),
    ];
    Ok((headers, Body::from_stream(content)).into_response())
}
