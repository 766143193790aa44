//! What a supervisor says about its children, and why it refuses to change them.
//!
//! The one idea: these are the answers of OTP's `supervisor` (`which_children`, `count_children`, `start_child`,
//! `terminate_child`, `restart_child`, `delete_child`), as values. Who asks is `Tree` or `Dynamic`.

use thiserror::Error;

use crate::directory::Kind;
use crate::spec::SpecError;

/// A child as its supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildInfo {
    /// Its id in the spec.
    pub id: String,
    /// Whether it works or supervises.
    pub kind: Kind,
    /// Whether it is there.
    pub status: ChildStatus,
    /// How often it was started again.
    pub restarts: u64,
}

/// Whether a child is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildStatus {
    /// It is up.
    Running,
    /// It is to be started again: its restart failed and is tried again, or waits for its backoff.
    Restarting,
    /// It ended for good, or was never up; its spec is kept.
    Down,
}

/// How many children a supervisor has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildCounts {
    /// Specs, whether their children are up or not; 1 for a dynamic supervisor, which has one template.
    pub specs: usize,
    /// Children that are up.
    pub active: usize,
    /// Children that supervise, whether up or not.
    pub supervisors: usize,
    /// Children that work, whether up or not.
    pub workers: usize,
}

/// Why a supervisor did not change its children as it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChildError {
    /// It has no child with this id. A temporary child is forgotten at its end.
    #[error("there is no child {id:?}")]
    NotFound { id: String },
    /// The child is up: terminate it first.
    #[error("child {id:?} is running")]
    Running { id: String },
    /// The child is about to be started again: terminate it first.
    #[error("child {id:?} is being restarted")]
    Restarting { id: String },
    /// A child with this id is there already, up or not.
    #[error("child {id:?} is there already")]
    Exists { id: String },
    /// The spec cannot be started there.
    #[error(transparent)]
    InvalidSpec(#[from] SpecError),
    /// The start failed; nothing of the child is left. It is not tried again.
    #[error("child did not start: {why}")]
    Failed { why: String },
    /// The supervisor is dynamic: its children are changed by its own [`Dynamic`](crate::Dynamic).
    #[error("children of a dynamic supervisor are started and ended by its handle")]
    IsDynamic,
    /// Too many requests are waiting at the supervisor.
    #[error("supervisor is busy")]
    Busy,
    /// No supervisor is up there, or it ended before it answered. What was asked for may have been done.
    #[error("no supervisor is up there")]
    Down,
}
