//! What the rules know of an agent: who it is, and what it offers.
//!
//! An agent has a *name* (configured, durable, shown to people) and an *id* (one per process start). Drain belongs to
//! the name, leases belong to the id.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{AgentId, AgentName};
use crate::requirement::Labels;
use crate::resources::Resources;

/// One running agent process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AgentRef {
    /// This process start.
    pub id: AgentId,
    /// The configured name.
    pub name: AgentName,
    /// What its configuration and binary hash to: equal fingerprints mean equal agents.
    pub fingerprint: Digest,
}

/// What an agent can run: its labels, all that it has, and what of that is free now.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// Key to value.
    pub labels: Labels,
    /// All that the agent may give to jobs.
    pub capacity: Resources,
    /// What no job of this agent has reserved.
    pub free: Resources,
    /// The agent was told to take no more jobs.
    pub draining: bool,
}
