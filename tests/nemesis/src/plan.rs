//! What a hive is made of, as data: how many of what, and where they are to break.

use std::time::Duration;

/// What a hive consists of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many coordinators.
    pub coordinators: usize,
    /// Its agents.
    pub agents: Vec<AgentPlan>,
    /// How long leases live.
    pub lease_ttl: Duration,
    /// Whether the coordinators are linked by a mesh.
    pub mesh: bool,
    /// Whether Redis has a replica that can take its place.
    pub replica: bool,
    /// Fail points of every coordinator, as in `FAILPOINTS`.
    pub coordinators_break: String,
    /// Fail points of every agent.
    pub agents_break: String,
}

/// One agent.
#[derive(Clone, Debug)]
pub struct AgentPlan {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// How many jobs it runs at once.
    pub slots: usize,
    /// It can be cut off from the coordinators.
    pub is_far: bool,
}
