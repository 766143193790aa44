//! The job: one unit of work, an immutable spec plus a state.
//!
//! [`accept`] makes one, [`apply`] is everything that can happen to it afterwards, and [`Job`]'s places say where it
//! stands. The record is small on purpose: the spec is kept apart and never rewritten, and a lease's expiry is not
//! here at all (it is a score in the ordered set of the agent's leases).

mod accept;
mod apply;
mod event;
mod fact;
mod lease;
mod places;
mod retry;
mod state;

use serde::{Deserialize, Serialize};

pub use self::accept::{Submission, accept};
pub use self::apply::{Refused, apply};
pub use self::event::{GiveBack, JobEvent, Report, RunEnd};
pub use self::fact::JobFact;
pub use self::lease::{ProvenLease, readopt};
pub use self::places::{AGENT_LEASES_FAMILY, JOBS, TIMERS, group_set, leases_set, waiting_set};
pub use self::retry::GIVEN_BACK_MAX;
pub use self::state::{
    Attempt, AttemptEnd, CancelRequest, Evidence, Running, State, StateName, Usage, Waits,
};

use crate::digest::Digest;
use crate::id::{GroupName, JobId, Principal};
use crate::lane::Lane;
use crate::time::Timestamp;
use crate::units::Span;

/// A job as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Job {
    /// Its id; the pool is part of it.
    pub id: JobId,
    /// The spec's name, for lists.
    pub name: String,
    /// Who submitted it.
    pub principal: Principal,
    /// What it is: the digest of the canonical spec.
    #[serde(rename = "spec")]
    pub spec_digest: Digest,
    /// When it was accepted.
    #[serde(rename = "at")]
    pub submitted_at: Timestamp,
    /// The lane in which it stands whenever it is claimable.
    pub lane: Lane,
    /// -100 to 100; higher goes first.
    #[serde(rename = "prio", default, skip_serializing_if = "is_zero_i8")]
    pub priority: i8,
    /// How long an attempt may run.
    pub timeout: Span,
    /// How many attempts may be charged.
    #[serde(rename = "tries")]
    pub max_attempts: u32,
    /// The concurrency group and its limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// The number of the newest attempt; 0 before the first. Always rises by one, is never reused: the fence.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// How many ended attempts count against `max_attempts`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub charged: u32,
    /// How often it was given back unstarted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub given_back: u32,
    /// How the newest ended attempt ended, so that a replay of that request is known for what it is.
    #[serde(rename = "last", default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<LastEnd>,
    /// Where it is in its life.
    pub state: State,
}

/// A concurrency group, as a job's spec states it. Recorded with the job, so reading one is tolerant; a spec is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Group {
    /// The group's name.
    pub name: GroupName,
    /// At most so many jobs of the group are claimable or running at once.
    pub limit: u32,
}

/// Which request ended the newest ended attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LastEnd {
    /// The attempt's number.
    pub attempt: u32,
    /// Who ended it.
    pub by: EndedBy,
}

/// What kind of request ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// Its agent finished it.
    Finish,
    /// Its agent gave it back.
    GiveBack,
    /// The reaper took its lease.
    Reaper,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
const fn is_zero_i8(n: &i8) -> bool {
    *n == 0
}
