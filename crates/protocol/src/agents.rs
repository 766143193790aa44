//! Agents on the wire: what an agent says of itself, and what is shown of it.

use std::collections::BTreeMap;

use domain::{AgentId, AgentName, Digest, JobId, Resources, Timestamp};
use serde::{Deserialize, Serialize};

/// What an agent says of itself when it enrols. `POST /v1/agents`; a claim may carry it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentInfo {
    /// This process start.
    pub id: AgentId,
    /// The configured name.
    pub name: AgentName,
    /// The digest of its resolved configuration, binary and executor.
    pub fingerprint: Digest,
    /// Labels that jobs can require.
    pub labels: BTreeMap<String, String>,
    /// What it may give to jobs.
    pub capacity: Resources,
    /// How many jobs it runs at once.
    pub slots: usize,
    /// What runs its jobs, e.g. `process`.
    pub executor: String,
    /// HiveForge's version.
    pub version: String,
}

/// What the coordinator answers to an enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// How long a lease lives without a renewal, in milliseconds.
    pub ttl_ms: u64,
    /// The agent is to take no more jobs.
    pub draining: bool,
    /// The request was parked, and is answered early because there is news: renew the leases to learn of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub news: bool,
    /// Which life of the nexus this coordinator talks to; see [`crate::leases::RenewReply::era`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub era: Option<String>,
}

/// An agent as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// The configured name.
    pub name: AgentName,
    /// The process start.
    pub id: AgentId,
    /// What it is doing.
    pub state: AgentState,
    /// How many jobs it runs at once.
    pub slots: usize,
    /// The jobs whose leases it holds.
    pub running: Vec<JobId>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it may give to jobs.
    pub capacity: Resources,
    /// What runs its jobs.
    pub executor: String,
    /// HiveForge's version.
    pub version: String,
    /// The digest of its configuration.
    pub fingerprint: Digest,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// When it was last heard of, to within a few seconds.
    pub last_seen_at: Timestamp,
}

/// What an agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It holds no lease.
    Idle,
    /// It holds leases.
    Busy,
    /// It takes no more jobs.
    Draining,
    /// It has not been heard of for longer than a lease lives.
    Lost,
}

impl AgentState {
    /// The word for tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Lost => "lost",
        }
    }
}

/// `GET /v1/agents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentList {
    /// Agents by name, then by enrolment.
    pub items: Vec<AgentView>,
}
