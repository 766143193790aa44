//! What can go wrong with a request, told apart by what the caller may do about it.

use std::time::Duration;

use crate::problem::Problem;

/// A request without its answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered; the request may or may not have been carried out.
    #[error("cannot reach {url}: {why}")]
    Unreachable {
        /// The coordinator.
        url: String,
        /// The operating system's words.
        why: String,
    },
    /// No answer in time; the request may or may not have been carried out.
    #[error("{url} did not answer within {limit:?}")]
    TimedOut {
        /// The coordinator.
        url: String,
        /// The limit.
        limit: Duration,
    },
    /// The coordinator refused.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// What was asked for has not changed since (304).
    #[error("not modified")]
    NotModified,
    /// The answer is not what the protocol says.
    #[error("cannot understand the reply: {0}")]
    BadReply(String),
}

impl ClientError {
    /// The stable code, when the coordinator refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::NotModified | Self::BadReply(_) => None,
        }
    }

    /// Says whether asking again later can help: nobody answered, or the coordinator is busy or cut off.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Problem(problem) => matches!(problem.status, 429 | 502..=504 | 507),
            Self::NotModified | Self::BadReply(_) => false,
        }
    }
}

/// A text that is not the base URL of a coordinator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the URL of a coordinator: write it like http://127.0.0.1:4711")]
pub struct BadUrl(pub String);
