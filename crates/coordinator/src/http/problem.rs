//! Every error of the API, mapped in one place: status, stable code, and words that name the value and the way out.

use std::time::{Duration, Instant};

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use domain::Refused;
use domain::id::BadName;
use ledger::{ApplyError, FinishRefused, LedgerError, LogRefused, SubmitError};
use protocol::Problem;
use protocol::leases::LogReceived;
use protocol::problem::PROBLEM_JSON;
use serde_json::json;
use supervision::{AskError, Refused as NotTaken};
use vault::VaultError;

use crate::access::AccessError;
use crate::inspection::in_full;
use crate::seldom::Seldom;

/// How long to wait before a busy or cut-off coordinator is asked again, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Time between two lines in the log about requests that fail for one reason: in an outage that is each of thousands.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
static NEXUS_FAILED: Seldom = Seldom::new(COMPLAIN_EVERY);
static VAULT_FAILED: Seldom = Seldom::new(COMPLAIN_EVERY);

/// A problem as a reply.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) Box<Problem>);

impl Failed {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(status.as_u16(), code, detail)))
    }

    pub(crate) fn not_found(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub(crate) fn bad_request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// A log that does not go on, or is not over, where the agent believes. The detail is for programs: it is the
    /// [`LogReceived`] that says where to go on.
    fn log(code: &str, stored: u64) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            code,
            json!(LogReceived { stored }).to_string(),
        )
    }

    pub(crate) fn busy(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(
            Problem::new(status.as_u16(), code, detail).retry_after(RETRY_AFTER_SECONDS),
        ))
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.0.retry_after;
        let mut response = (status, Json(self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"hiveforge\""),
            );
        }
        response
    }
}

pub(crate) async fn no_such_path(uri: Uri) -> Failed {
    Failed::not_found("no_such_path", format!("there is nothing at `{}`", uri.path()))
}

pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Failed {
    let detail = format!("`{method}` is not what `{}` is for", uri.path());
    Failed::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
}

impl From<AccessError> for Failed {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Unauthenticated => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "a valid token is required: send `Authorization: Bearer <token>`",
            ),
            AccessError::Forbidden => Self::new(StatusCode::FORBIDDEN, "forbidden", error.to_string()),
        }
    }
}

impl From<BadName> for Failed {
    fn from(error: BadName) -> Self {
        Self::bad_request("bad_name", error.to_string())
    }
}

impl From<LedgerError> for Failed {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Nexus(_) => {
                if let Some(unsaid) = NEXUS_FAILED.is_due(Instant::now()) {
                    let error = in_full(&error);
                    tracing::warn!(error, unsaid, "requests could not be served by the nexus");
                }
                let detail = if error.outcome_is_unknown() {
                    "the state store did not say whether it did this: repeat it, a create with its Idempotency-Key"
                } else {
                    "the state store does not answer; nothing is lost, try again"
                };
                Self::busy(StatusCode::SERVICE_UNAVAILABLE, "nexus_unavailable", detail)
            }
            LedgerError::Full => Self::busy(
                StatusCode::INSUFFICIENT_STORAGE,
                "nexus_full",
                "the state store has no room for new work; running jobs go on",
            ),
            LedgerError::Contended { .. } => {
                Self::busy(StatusCode::SERVICE_UNAVAILABLE, "contended", error.to_string())
            }
            LedgerError::Undecodable(_) | LedgerError::UnreadableSpec(_) | LedgerError::NoSpec(_) => {
                tracing::error!(%error, "a stored record cannot be understood");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "record_unreadable",
                    error.to_string(),
                )
            }
        }
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        let code = match &refused {
            Refused::StaleLease { .. } => "lease_lost",
            Refused::NotClaimable { .. } => "not_claimable",
            Refused::Ended { .. } => "job_ended",
            Refused::Running => "job_running",
            Refused::CancelNotRequested { .. } => "cancel_not_requested",
        };
        Self::new(StatusCode::CONFLICT, code, refused.to_string())
    }
}

impl From<ApplyError> for Failed {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Unknown(_) => Self::not_found("job_unknown", error.to_string()),
            ApplyError::Refused(refused) => refused.into(),
            ApplyError::Ledger(error) => error.into(),
        }
    }
}

impl From<SubmitError> for Failed {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Mismatch => Self::new(
                StatusCode::CONFLICT,
                "idempotency_mismatch",
                "this Idempotency-Key was used for another request; use a new key for a new request",
            ),
            SubmitError::Full => LedgerError::Full.into(),
            SubmitError::Ledger(error) => error.into(),
        }
    }
}

impl From<FinishRefused> for Failed {
    fn from(error: FinishRefused) -> Self {
        match error {
            FinishRefused::Unknown(_) => Self::not_found("job_unknown", error.to_string()),
            FinishRefused::Rules(refused) => refused.into(),
            // Not lasting: the agent enrols again, and repeats.
            FinishRefused::AgentUnknown(_) => Self::busy(
                StatusCode::SERVICE_UNAVAILABLE,
                "agent_unknown",
                error.to_string(),
            ),
            FinishRefused::LogIncomplete { stored, .. } => Self::log("log_incomplete", stored),
            FinishRefused::LogMismatch => Self::bad_request("log_mismatch", error.to_string()),
            FinishRefused::Ledger(error) => error.into(),
        }
    }
}

impl From<LogRefused> for Failed {
    fn from(error: LogRefused) -> Self {
        match error {
            LogRefused::LeaseLost => Self::new(StatusCode::CONFLICT, "lease_lost", error.to_string()),
            LogRefused::Offset { stored } => Self::log("log_offset", stored),
            LogRefused::Changed => {
                Self::busy(StatusCode::SERVICE_UNAVAILABLE, "contended", error.to_string())
            }
            LogRefused::Ledger(error) => error.into(),
        }
    }
}

impl From<AskError> for Failed {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Busy => Self::busy(
                StatusCode::TOO_MANY_REQUESTS,
                "busy",
                "the coordinator has as many requests in hand as it takes; try again",
            ),
            AskError::Down | AskError::TimedOut => Self::busy(
                StatusCode::SERVICE_UNAVAILABLE,
                "restarting",
                "a part of the coordinator is not up just now; try again",
            ),
        }
    }
}

impl From<NotTaken> for Failed {
    fn from(refused: NotTaken) -> Self {
        AskError::from(refused).into()
    }
}

impl From<VaultError> for Failed {
    fn from(error: VaultError) -> Self {
        match &error {
            VaultError::Missing { .. } => Self::not_found("blob_unknown", error.to_string()),
            VaultError::Mismatch { .. } => Self::bad_request("digest_mismatch", error.to_string()),
            VaultError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "blob_too_large", error.to_string())
            }
            VaultError::Full { .. } => Self::busy(
                StatusCode::INSUFFICIENT_STORAGE,
                "vault_full",
                "the blob store has no room",
            ),
            VaultError::Busy { .. } => Self::busy(StatusCode::CONFLICT, "blob_busy", error.to_string()),
            VaultError::Offset { .. } => Self::new(StatusCode::CONFLICT, "blob_offset", error.to_string()),
            VaultError::OutOfRange { .. } => Self::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "out_of_range",
                error.to_string(),
            ),
            VaultError::Interrupted { .. } => Self::bad_request("upload_interrupted", error.to_string()),
            VaultError::Damaged { .. } | VaultError::Stopping | VaultError::Io { .. } => {
                if let Some(unsaid) = VAULT_FAILED.is_due(Instant::now()) {
                    tracing::error!(%error, unsaid, "requests could not be served by the vault");
                }
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "vault_failed",
                    error.to_string(),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_may_have_been_carried_out_is_not_said_to_have_done_nothing() {
        let said = |error: LedgerError| Failed::from(error).0;
        let unknown = said(LedgerError::no_answer(COMPLAIN_EVERY));
        assert_eq!(
            (unknown.status, unknown.retry_after),
            (503, Some(RETRY_AFTER_SECONDS))
        );
        assert!(
            unknown.detail.contains("Idempotency-Key") && !unknown.detail.contains("nothing"),
            "{}",
            unknown.detail
        );
    }
}
