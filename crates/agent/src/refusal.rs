//! Refusals that pass by themselves, told from those that do not.
//!
//! A coordinator without its nexus, with a full disk or with too much to do, and one that does not accept the token
//! while tokens are exchanged, will take the same request later: nothing is lost by waiting, and a finished result by
//! not waiting. Every other refusal is about the request itself.

use protocol::Problem;
use protocol::client::ClientError;

/// Whether the same request can be accepted later.
pub(crate) fn is_passing(problem: &Problem) -> bool {
    matches!(problem.status, 401 | 403 | 408 | 429 | 500..) || problem.code == "blob_busy"
}

/// The refusal of a request that will never be accepted.
pub(crate) fn lasting(error: &ClientError) -> Option<&Problem> {
    match error {
        ClientError::Problem(problem) if !is_passing(problem) => Some(problem),
        _ => None,
    }
}
