//! The states of a job. What belongs to a state sits inside its variant, so nothing can be there that cannot be.
//!
//! Four states come from the design's seed, `cancelled` is its one declared extension. Why a queued job waits is not a
//! state: it is what [`Waits`] and matching say.

use serde::{Deserialize, Serialize};

use crate::agent::AgentRef;
use crate::cause::Cause;
use crate::digest::Digest;
use crate::id::Principal;
use crate::time::Timestamp;
use crate::units::Span;

/// Where a job is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not running and not ended.
    Queued {
        /// What keeps it out of its lane.
        #[serde(default, skip_serializing_if = "Waits::is_nothing")]
        waits: Waits,
    },
    /// Leased to an agent.
    Running(Running),
    /// Ended well.
    Succeeded {
        /// The attempt that ended it.
        attempt: Box<Attempt>,
    },
    /// Ended badly.
    Failed {
        /// Why.
        cause: Cause,
        /// When.
        at: Timestamp,
        /// The attempt that ended it; none when it never ran.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<Box<Attempt>>,
    },
    /// Ended because somebody asked.
    Cancelled {
        /// Who and why.
        request: CancelRequest,
        /// When it ended; a running job ends later than the request.
        at: Timestamp,
        /// The attempt that it interrupted; none when it never ran.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<Box<Attempt>>,
    },
}

/// What keeps a queued job from being claimable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waits {
    /// It stands in its lane.
    #[default]
    Nothing,
    /// It stands in `timers` until then.
    Until(Timestamp),
    /// It stands in its group's queue until there is room.
    ForGroup,
}

impl Waits {
    const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// The live lease of a running job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Running {
    /// Who holds the lease.
    pub agent: AgentRef,
    /// When the claim was committed.
    pub started_at: Timestamp,
    /// Set once somebody asked to cancel; the agent learns of it with its next renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelRequest>,
}

/// Somebody's wish to end a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CancelRequest {
    /// Who asked.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number.
    pub number: u32,
    /// Who ran it.
    pub agent: AgentRef,
    /// When its claim was committed.
    pub started_at: Timestamp,
    /// When its end was committed.
    pub ended_at: Timestamp,
    /// How it ended.
    pub end: AttemptEnd,
    /// What it left; none when its agent never reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// Exit 0 within the timeout, with every required artifact.
    Succeeded,
    /// Anything else.
    Failed(Cause),
    /// Its agent killed it because the job was to be cancelled.
    Cancelled,
    /// Its agent returned the lease before it started anything.
    GivenBack,
}

/// What an attempt left behind, as its agent states it in the finish.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// Bytes of the framed log.
    pub log_bytes: u64,
    /// Digest of the framed log.
    pub log_digest: Digest,
    /// How many artifacts the manifest lists.
    #[serde(default)]
    pub artifacts: u32,
    /// How long the command ran, by the agent's monotonic clock.
    pub ran: Span,
    /// What it used, as far as the executor can tell.
    #[serde(default)]
    pub usage: Usage,
}

/// Resources that an attempt used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time, in milliseconds.
    #[serde(default)]
    pub cpu_ms: u64,
    /// Greatest resident set of any one process, in bytes.
    #[serde(default)]
    pub peak_memory_bytes: u64,
}

/// A state without its data, as people and programs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// Not running and not ended.
    Queued,
    /// Leased to an agent.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
}

impl StateName {
    /// All of them, in the order of a job's life.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name in the API, the CLI and the pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Says whether a job in this state never changes again.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

impl std::fmt::Display for StateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl State {
    /// The state's name.
    pub const fn name(&self) -> StateName {
        match self {
            Self::Queued { .. } => StateName::Queued,
            Self::Running(_) => StateName::Running,
            Self::Succeeded { .. } => StateName::Succeeded,
            Self::Failed { .. } => StateName::Failed,
            Self::Cancelled { .. } => StateName::Cancelled,
        }
    }

    /// The attempt that ended the job, once it has ended and if it ever ran.
    pub fn final_attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Queued { .. } | Self::Running(_) => None,
            Self::Succeeded { attempt } => Some(attempt),
            Self::Failed { attempt, .. } | Self::Cancelled { attempt, .. } => attempt.as_deref(),
        }
    }
}
