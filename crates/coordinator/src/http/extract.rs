//! What handlers take in: callers with their role, JSON bodies, paths and queries; each refusal is a problem document.

use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use domain::{JobId, Principal};
use protocol::jobs::IDEMPOTENCY_KEY;
use protocol::limits::IDEMPOTENCY_KEY_CHARS_MAX;
use serde::de::DeserializeOwned;

use crate::access::{AccessError, Role};
use crate::coordinator::Coordinator;
use crate::http::problem::Failed;

/// A caller who may do what people do.
pub(crate) struct Admin(pub(crate) Principal);

/// A caller who may do what agents do.
pub(crate) struct AgentCaller;

impl FromRequestParts<Arc<Coordinator>> for Admin {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, coordinator: &Arc<Coordinator>) -> Result<Self, Failed> {
        match coordinator.access.admit(bearer(&parts.headers))? {
            (Role::Admin, principal) => Ok(Self(principal)),
            (Role::Agent, _) => Err(AccessError::Forbidden.into()),
        }
    }
}

impl FromRequestParts<Arc<Coordinator>> for AgentCaller {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, coordinator: &Arc<Coordinator>) -> Result<Self, Failed> {
        match coordinator.access.admit(bearer(&parts.headers))? {
            (Role::Agent | Role::Admin, _) => Ok(Self),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// A JSON body. Unknown fields are refused by the types themselves.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Coordinator>> for JsonBody<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, coordinator: &Arc<Coordinator>) -> Result<Self, Failed> {
        let bytes = RawBody::from_request(request, coordinator).await?.0;
        read_json(&bytes).map(Self)
    }
}

/// Reads a JSON body.
pub(crate) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failed> {
    // A list would be read as the fields in their order, which nobody means.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Failed::bad_request(
            "body_invalid",
            "the body is a list: a JSON object is expected",
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let code = if error.is_data() {
            "body_invalid"
        } else {
            "body_not_json"
        };
        Failed::bad_request(code, format!("the body cannot be read: {error}"))
    })
}

/// A whole body, up to the route's limit.
pub(crate) struct RawBody(pub(crate) Bytes);

impl FromRequest<Arc<Coordinator>> for RawBody {
    type Rejection = Failed;

    async fn from_request(request: Request, coordinator: &Arc<Coordinator>) -> Result<Self, Failed> {
        Bytes::from_request(request, coordinator)
            .await
            .map(Self)
            .map_err(|rejection: BytesRejection| {
                if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    let most = protocol::limits::JSON_BODY_BYTES_MAX;
                    let detail =
                        format!("the body is larger than {most} bytes: split the request, or upload blobs");
                    Failed::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
                } else {
                    Failed::bad_request("body_broken", rejection.body_text())
                }
            })
    }
}

/// The parts of a path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Coordinator>> for Path<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, coordinator: &Arc<Coordinator>) -> Result<Self, Failed> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, coordinator).await;
        path.map(|path| Self(path.0))
            .map_err(|error| Failed::bad_request("bad_name", error.body_text()))
    }
}

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Coordinator>> for Query<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, coordinator: &Arc<Coordinator>) -> Result<Self, Failed> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, coordinator).await;
        query
            .map(|query| Self(query.0))
            .map_err(|error| Failed::bad_request("bad_query", error.body_text()))
    }
}

/// The `Idempotency-Key` of a request, if it has one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failed> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let fits = |key: &&str| {
        (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
    };
    let key = value.to_str().ok().filter(fits).ok_or_else(|| {
        let rule = format!("1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters without spaces");
        Failed::bad_request("bad_idempotency_key", format!("an Idempotency-Key is {rule}"))
    })?;
    Ok(Some(key.to_owned()))
}

/// A job of this coordinator's pool.
pub(crate) fn job_id(coordinator: &Coordinator, text: &str) -> Result<JobId, Failed> {
    let id: JobId = text.parse()?;
    if id.pool() == coordinator.ledger.pool() {
        Ok(id)
    } else {
        Err(no_job(&id))
    }
}

/// Nothing is known of the job.
pub(crate) fn no_job(id: &JobId) -> Failed {
    Failed::not_found("job_unknown", format!("there is no job {id}"))
}
