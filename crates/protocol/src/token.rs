//! Lease tokens as they travel: proof that one agent was given one attempt of one job.
//!
//! The text is `hfl_<attempt>_<agent id>_<64 hex digits>`. Only the coordinator can make or check one; everybody else carries it.
//! It is a secret: it never prints in a debug line.

use std::fmt;

use domain::AgentId;
use serde::{Deserialize, Serialize};

/// A lease token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseToken(String);

impl LeaseToken {
    /// Joins an attempt, who it was given to, and the seal of both.
    pub fn new(attempt: u32, agent: &AgentId, seal_hex: &str) -> Self {
        Self(format!("hfl_{attempt}_{agent}_{seal_hex}"))
    }

    /// The attempt and the agent that the token claims to be for, and the seal that must prove it.
    pub fn parts(&self) -> Option<(u32, AgentId, &str)> {
        let (attempt, rest) = self.0.strip_prefix("hfl_")?.split_once('_')?;
        let (agent, seal) = rest.split_once('_')?;
        Some((attempt.parse().ok()?, agent.parse().ok()?, seal))
    }

    /// The text to send. Not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for LeaseToken {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken(..)")
    }
}
