//! Which agents this coordinator has heard of lately, so that "last seen" is written every few seconds and not with
//! every request.
//!
//! A cache and nothing more: losing it costs one write for each agent.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
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

    /// Says whether it is time to record that the agent was seen; if so, the caller does it and says so with
    /// [`Self::recorded`].
    pub(crate) fn is_due(&self, agent: &AgentId, now: Instant) -> bool {
        let recorded = self.entries();
        recorded
            .get(agent)
            .is_none_or(|at| now.duration_since(*at) >= RECORD_EVERY)
    }

    /// Notes that it was recorded at `now` that the agent was seen.
    pub(crate) fn recorded(&self, agent: &AgentId, now: Instant) {
        let mut recorded = self.entries();
        if recorded.len() >= AGENTS_MAX {
            recorded.retain(|_, at| now.duration_since(*at) < RECORD_EVERY);
        }
        // All of them are fresh: forgetting them costs a write each, keeping them all has no bound.
        if recorded.len() >= AGENTS_MAX {
            recorded.clear();
        }
        recorded.insert(agent.clone(), now);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<AgentId, Instant>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(n: usize) -> AgentId {
        format!("01k2b3c4d5e6f7g8h9j0{n:06}").parse().unwrap()
    }

    #[test]
    fn an_agent_is_due_until_it_is_recorded_and_again_a_while_later() {
        let (seen, now) = (AgentsSeen::new(), Instant::now());
        assert!(seen.is_due(&agent(1), now) && seen.is_due(&agent(1), now));
        seen.recorded(&agent(1), now);
        assert!(!seen.is_due(&agent(1), now) && seen.is_due(&agent(2), now));
        assert!(seen.is_due(&agent(1), now + RECORD_EVERY));
    }

    #[test]
    fn no_more_agents_than_the_limit_are_remembered_however_fresh_they_are() {
        let (seen, now) = (AgentsSeen::new(), Instant::now());
        for n in 0..=AGENTS_MAX {
            seen.recorded(&agent(n), now);
            assert!(seen.entries().len() <= AGENTS_MAX);
        }
        assert!(!seen.is_due(&agent(AGENTS_MAX), now));
    }
}
