//! What the journal says of a job: one fact for each transition, complete enough to retell its life.
//!
//! Facts are stored for good. Fields may be added, never renamed; secrets, environments and tokens never enter.

use serde::{Deserialize, Serialize};

use crate::agent::AgentRef;
use crate::cause::Cause;
use crate::digest::Digest;
use crate::id::Principal;
use crate::job::event::{GiveBack, Report};

/// One transition of a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobFact {
    /// It was accepted.
    Submitted {
        /// By whom.
        by: Principal,
        /// What it is.
        spec: Digest,
    },
    /// Its time came.
    Due,
    /// Its group had room.
    Admitted,
    /// An agent was given a lease.
    Claimed {
        /// The new attempt.
        attempt: u32,
        /// Who.
        agent: AgentRef,
    },
    /// The agent reported the end of its attempt.
    Finished {
        /// The attempt.
        attempt: u32,
        /// The outcome and what it left.
        report: Report,
    },
    /// The agent returned its lease unstarted.
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
        /// Why.
        cause: Cause,
    },
    /// Somebody asked to cancel it. A queued job ended with this; a running one will.
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
    /// Its record could not be read where it stood, so it was put aside for somebody who can. Says nothing of the job
    /// itself, and no later fact follows from it.
    Quarantined {
        /// The ordered set in which it stood.
        from: String,
        /// Why it cannot be read.
        why: String,
    },
    /// Its record can be read again, and it stands where it should.
    Restored,
}

impl JobFact {
    /// Says whether this tells of a transition. What happens to a record that cannot be read is no part of the chain of
    /// a job's facts.
    pub const fn is_transition(&self) -> bool {
        match self {
            Self::Quarantined { .. } | Self::Restored => false,
            Self::Submitted { .. }
            | Self::Due
            | Self::Admitted
            | Self::Claimed { .. }
            | Self::Finished { .. }
            | Self::GivenBack { .. }
            | Self::LeaseTaken { .. }
            | Self::CancelRequested { .. }
            | Self::Rejected { .. } => true,
        }
    }
}
