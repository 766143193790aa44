//! Blobs: content by digest. Uploads are streamed, verified, idempotent and resumable.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::Digest;
use futures_util::StreamExt as _;
use vault::transfer::Presence;

use crate::http::Shared;
use crate::http::extract::{AgentCaller, Path};
use crate::http::problem::Failed;

/// Where an upload goes on: sent with a `PUT` of the rest, and answered to a `HEAD` of an unfinished blob.
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

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
        .map(|chunk| chunk.map_err(std::io::Error::other));
    coordinator.vault.resume_stream(digest, offset, content).await?;
    Ok(StatusCode::CREATED)
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
