//! Blobs: content by digest. Uploads are streamed, verified, idempotent and resumable.
//!
//! An upload holds a lock on its unfinished blob, so one that stalls is ended; what arrived of it is kept.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use domain::Digest;
use futures_util::{Stream, StreamExt as _, stream};
use vault::transfer::Presence;

use crate::http::Shared;
use crate::http::extract::{AgentCaller, Path};
use crate::http::problem::Failed;

/// Where an upload goes on: sent with a `PUT` of the rest, and answered to a `HEAD` of an unfinished blob.
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// How long an upload may send nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// `PUT /v1/blobs/{digest}`: the whole content, or the rest of it from `Upload-Offset` on.
pub(super) async fn store(
    State(coordinator): Shared,
    _: AgentCaller,
    Path(digest): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failed> {
    let digest = read_digest(&digest)?;
    if matches!(coordinator.vault.presence(digest).await?, Presence::Whole(_)) {
        return Ok(StatusCode::OK);
    }
    let offset = match headers.get(UPLOAD_OFFSET) {
        None => 0,
        Some(text) => text
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Failed::bad_request("bad_offset", "Upload-Offset is a number of bytes"))?,
    };
    let content = body
        .into_data_stream()
        .map(|chunk| chunk.map_err(io::Error::other));
    let content = broken_off_when_silent(content);
    coordinator.vault.resume_stream(digest, offset, content).await?;
    Ok(StatusCode::CREATED)
}

/// The same chunks; [`SILENCE_MAX`] without one is an error, and the end.
fn broken_off_when_silent(
    content: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(content), |content| async move {
        let mut content = content?;
        match tokio::time::timeout(SILENCE_MAX, content.next()).await {
            Ok(chunk) => Some((chunk?, Some(content))),
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

/// `HEAD /v1/blobs/{digest}`.
pub(super) async fn presence(
    State(coordinator): Shared,
    _: AgentCaller,
    Path(digest): Path<String>,
) -> Result<Response, Failed> {
    Ok(match coordinator.vault.presence(read_digest(&digest)?).await? {
        Presence::Whole(size) => (StatusCode::OK, [(header::CONTENT_LENGTH, size)]).into_response(),
        Presence::Partial(stored) => (StatusCode::NOT_FOUND, [(UPLOAD_OFFSET, stored)]).into_response(),
        Presence::Absent => StatusCode::NOT_FOUND.into_response(),
    })
}

/// `GET /v1/blobs/{digest}`: the content. A damaged blob breaks off before its end.
pub(super) async fn fetch(
    State(coordinator): Shared,
    _: AgentCaller,
    Path(digest): Path<String>,
) -> Result<Response, Failed> {
    let digest = read_digest(&digest)?;
    let Presence::Whole(size) = coordinator.vault.presence(digest).await? else {
        return Err(Failed::not_found(
            "blob_unknown",
            format!("there is no blob {digest}"),
        ));
    };
    let content = coordinator.vault.stream(digest).await?;
    let length = [(header::CONTENT_LENGTH, size.to_string())];
    Ok((length, Body::from_stream(content)).into_response())
}

fn read_digest(text: &str) -> Result<Digest, Failed> {
    text.parse()
        .map_err(|error: domain::digest::NotADigest| Failed::bad_request("bad_digest", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stalled_upload_breaks_off_behind_what_arrived() {
        let arrived = stream::iter([Ok(Bytes::from_static(b"one")), Ok(Bytes::from_static(b"two"))]);
        let content = broken_off_when_silent(arrived.chain(stream::pending()));
        let seen: Vec<_> = content
            .map(|chunk| chunk.map_err(|error| error.kind()))
            .collect()
            .await;
        let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
        assert_eq!(seen, [Ok(one), Ok(two), Err(io::ErrorKind::TimedOut)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_may_take_long_while_it_sends() {
        let slow = stream::iter(0..100).then(|_| async {
            tokio::time::sleep(SILENCE_MAX / 2).await;
            Ok(Bytes::from_static(b"x"))
        });
        let seen: Vec<_> = broken_off_when_silent(Box::pin(slow)).collect().await;
        assert!(seen.len() == 100 && seen.iter().all(Result::is_ok));
    }
}
