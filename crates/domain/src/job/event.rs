//! Everything that can happen to a job: a closed list.
//!
//! An event that an agent causes names its attempt. Whoever builds the event has checked the lease token, so the
//! number is proven; `apply` only asks whether that attempt is still the live one.

use serde::{Deserialize, Serialize};

use crate::agent::AgentRef;
use crate::cause::Cause;
use crate::id::Principal;
use crate::job::state::Evidence;

/// One thing that happens to a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JobEvent {
    /// The time that it waited for has come.
    Due,
    /// Its group has room for it.
    Admitted,
    /// An agent was given a lease.
    Claimed {
        /// Who.
        agent: AgentRef,
    },
    /// The agent reports how its attempt ended.
    Finished {
        /// The attempt.
        attempt: u32,
        /// The outcome and what it left.
        report: Report,
    },
    /// The agent returns its lease; it never started the command.
    GivenBack {
        /// The attempt.
        attempt: u32,
        /// Why.
        why: GiveBack,
    },
    /// The reaper took the lease.
    LeaseTaken {
        /// The attempt.
        attempt: u32,
        /// `LeaseLost`, or `Timeout` when even the coordinator's backstop has passed.
        cause: Cause,
    },
    /// Somebody wants it ended.
    CancelRequested {
        /// Who.
        by: Principal,
        /// Why, in their words.
        reason: Option<String>,
    },
    /// It was found that it can never run.
    Rejected {
        /// Why.
        cause: Cause,
    },
}

/// What an agent says when an attempt is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub end: RunEnd,
    /// What it left; none when nothing is known of it any more.
    pub evidence: Option<Evidence>,
}

/// How a run ended, from its agent's point of view.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Exit 0 within the timeout, with every required artifact.
    Succeeded,
    /// Anything else.
    Failed(Cause),
    /// The agent killed it because a cancel was requested.
    Cancelled,
}

/// Why an agent returns a lease unstarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GiveBack {
    /// The agent is draining or stopping.
    Drain,
    /// The lease was held ahead and is not needed after all.
    HeldAhead,
    /// The reply with the lease never reached the agent.
    Undelivered,
}
