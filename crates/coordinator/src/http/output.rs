//! What an attempt wrote and left: its log as text or as a stream of events, its artifacts.

use std::ops::Range;
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
use crate::http::range::Wanted;
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
    let pieces = coordinator.ledger.log_pieces(&id, attempt).await?;
    let text = || text(Arc::clone(&coordinator), pieces.clone(), query.stream);
    let plain = (
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    let Some(wanted) = headers.get(header::RANGE).and_then(Wanted::read) else {
        return Ok(([plain], Body::from_stream(text())).into_response());
    };
    let length = length_of(text()).await.map_err(|error| {
        Failed::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "log_unreadable",
            error.to_string(),
        )
    })?;
    let Some(part) = wanted.of(length) else {
        let detail = format!("the log has {length} bytes; there is none in this range");
        let refused = Failed::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad_range", detail);
        return Ok(([(header::CONTENT_RANGE, format!("bytes */{length}"))], refused).into_response());
    };
    let said = format!("bytes {}-{}/{length}", part.start, part.end - 1);
    let headers = [plain, (header::CONTENT_RANGE, visible(&said))];
    let part = Body::from_stream(cut(text(), part));
    Ok((StatusCode::PARTIAL_CONTENT, headers, part).into_response())
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and signs are visible ASCII")
}

/// How long a text is that must be decoded to know it.
async fn length_of(text: impl Stream<Item = std::io::Result<Bytes>>) -> std::io::Result<u64> {
    text.try_fold(0, |length, bytes| future::ready(Ok(length + bytes.len() as u64)))
        .await
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
fn text(
    coordinator: Arc<Coordinator>,
    pieces: Vec<LogPiece>,
    only: Option<LogStream>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    let pieces = stream::iter(pieces).then(move |piece| {
        let coordinator = Arc::clone(&coordinator);
        async move { read_piece(&coordinator, piece).await }
    });
    pieces.scan(Decoder::default(), move |decoder, piece| {
        let text = piece.and_then(|bytes| decode(decoder, &bytes, only));
        future::ready(Some(text))
    })
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

/// Cuts a range out of a stream of bytes.
fn cut(
    text: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    range: Range<u64>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    let mut position: u64 = 0;
    text.map_ok(move |bytes| {
        let begin = position;
        position += bytes.len() as u64;
        let within = |at: u64| {
            let at = at.saturating_sub(begin).min(bytes.len() as u64);
            usize::try_from(at).unwrap_or(bytes.len())
        };
        bytes.slice(within(range.start)..within(range.end))
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
    known_attempt(&coordinator, &id, attempt).await?;
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
