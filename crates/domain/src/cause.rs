//! Why an attempt ended badly: a closed list, because people and retry rules act on it.
//!
//! The one question that the rules ask of a cause is [`Cause::is_infrastructure`]: a program's own failure is never
//! retried, a failure of what it ran on may be.

use serde::{Deserialize, Serialize};

/// Why an attempt did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// The command ended with this nonzero status.
    Exit {
        /// 1 to 255.
        code: i32,
    },
    /// The command was ended by a signal that HiveForge did not send.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// The command ran for longer than its timeout.
    Timeout,
    /// The command used more memory than its limit.
    OutOfMemory,
    /// The command ended well, but no file matched a required artifact.
    ArtifactMissing {
        /// The glob that matched nothing.
        glob: String,
    },
    /// An artifact was refused: over a limit, not a regular file, or outside of the work directory.
    ArtifactRefused {
        /// Its path and what is wrong with it.
        why: String,
    },
    /// The command could not be started: not found, or not executable.
    CannotStart {
        /// Program and reason.
        why: String,
    },
    /// An input of the job is not in the vault.
    InputMissing {
        /// The input's path in the work directory.
        path: String,
    },
    /// The job went back to the queue unstarted too often, or no agent can ever take it.
    Unplaceable,
    /// The agent went silent and the reaper took its lease.
    LeaseLost,
    /// The agent's process died; its successor reported it.
    AgentDied,
    /// The agent's disk was full.
    Disk,
    /// The agent could not fetch inputs, store artifacts or set up the run.
    AgentFault {
        /// What failed.
        why: String,
    },
    /// The machine's owner took it back.
    Preempted,
}

impl Cause {
    /// Says whether the failure is that of the machinery and not of the program: only then may a job be tried again.
    pub const fn is_infrastructure(&self) -> bool {
        match self {
            Self::LeaseLost | Self::AgentDied | Self::Disk | Self::AgentFault { .. } | Self::Preempted => {
                true
            }
            Self::Exit { .. }
            | Self::Signal { .. }
            | Self::Timeout
            | Self::OutOfMemory
            | Self::ArtifactMissing { .. }
            | Self::ArtifactRefused { .. }
            | Self::CannotStart { .. }
            | Self::InputMissing { .. }
            | Self::Unplaceable => false,
        }
    }

    /// Says whether the program's own run is to blame, so that a requested cancel does not take its place.
    pub const fn is_the_programs(&self) -> bool {
        !self.is_infrastructure() && !matches!(self, Self::Unplaceable)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit { code } => write!(f, "exit status {code}"),
            Self::Signal { signal } => write!(f, "killed by signal {signal}"),
            Self::Timeout => f.write_str("timed out"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::ArtifactMissing { glob } => write!(f, "no file matched the required artifact `{glob}`"),
            Self::ArtifactRefused { why } => write!(f, "artifact refused: {why}"),
            Self::CannotStart { why } => write!(f, "cannot start: {why}"),
            Self::InputMissing { path } => write!(f, "the input `{path}` is not in the vault"),
            Self::Unplaceable => f.write_str("no agent could place it"),
            Self::LeaseLost => f.write_str("the agent went silent and its lease was taken"),
            Self::AgentDied => f.write_str("the agent died"),
            Self::Disk => f.write_str("the agent's disk was full"),
            Self::AgentFault { why } => write!(f, "the agent failed: {why}"),
            Self::Preempted => f.write_str("the machine's owner took it back"),
        }
    }
}
