//! Which agents this coordinator has heard of lately, so that "last seen" is written every few seconds and not with
//! every request.
//!
//! A cache and nothing more: losing it costs one write for each agent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::AgentId;
use tokio::time::Instant;

/// How old the recorded "last seen" of a busy agent may be.
pub(crate) const RECORD_EVERY: Duration = Duration::from_secs(5);
/// Agents that are remembered.
const AGENTS_MAX: usize = 16_384;

pub(crate) struct AgentsSeen {
    /// Not an actor: a handler looks up one entry and goes on.
    recorded: Mutex<HashMap<AgentId, Instant>>,
}

impl AgentsSeen {
    pub(crate) fn new() -> Self {
        Self {
            recorded: Mutex::new(HashMap::new()),
        }
    }

    /// Says whether it is time to record that the agent was seen; if so, the caller does it.
    pub(crate) fn is_due(&self, agent: &AgentId, now: Instant) -> bool {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded
            .get(agent)
            .is_some_and(|at| now.duration_since(*at) < RECORD_EVERY)
        {
            return false;
        }
        if recorded.len() >= AGENTS_MAX {
            recorded.retain(|_, at| now.duration_since(*at) < RECORD_EVERY);
        }
        recorded.insert(agent.clone(), now);
        true
    }
}
