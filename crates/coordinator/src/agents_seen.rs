//! Which agents this coordinator has heard of lately: gathered here, and recorded together every second by `reaper`, each
//! of them every few seconds at most.
//!
//! A cache and nothing more: losing it costs one write for each agent.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::AgentId;
use tokio::time::Instant;

/// How old the recorded "last seen" of a busy agent may be.
pub(crate) const RECORD_EVERY: Duration = Duration::from_secs(5);
/// Agents that are remembered.
const AGENTS_MAX: usize = 16_384;

pub(crate) struct AgentsSeen {
    /// Not an actor: a handler notes one entry and goes on.
    agents: Mutex<Agents>,
}

#[derive(Default)]
struct Agents {
    /// When each was last handed out to be recorded.
    recorded: HashMap<AgentId, Instant>,
    /// Heard of since.
    due: BTreeSet<AgentId>,
}

impl AgentsSeen {
    pub(crate) fn new() -> Self {
        Self {
            agents: Mutex::default(),
        }
    }

    /// Notes that an agent was heard of. Beyond the limit it is noted the next time.
    pub(crate) fn saw(&self, agent: &AgentId, now: Instant) {
        let mut agents = self.entries();
        let is_fresh = agents
            .recorded
            .get(agent)
            .is_some_and(|at| now.duration_since(*at) < RECORD_EVERY);
        if !is_fresh && agents.due.len() < AGENTS_MAX {
            agents.due.insert(agent.clone());
        }
    }

    /// The agents that are to be recorded as seen; they are not due again for [`RECORD_EVERY`].
    pub(crate) fn take_due(&self, now: Instant) -> BTreeSet<AgentId> {
        let mut agents = self.entries();
        let due = std::mem::take(&mut agents.due);
        agents
            .recorded
            .retain(|_, at| now.duration_since(*at) < RECORD_EVERY);
        for agent in due.iter().take(AGENTS_MAX) {
            agents.recorded.insert(agent.clone(), now);
        }
        due
    }

    /// Takes agents back that could not be recorded.
    pub(crate) fn were_not_recorded(&self, unrecorded: BTreeSet<AgentId>) {
        let mut agents = self.entries();
        for agent in unrecorded {
            agents.recorded.remove(&agent);
            if agents.due.len() < AGENTS_MAX {
                agents.due.insert(agent);
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, Agents> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(n: usize) -> AgentId {
        format!("01k2b3c4d5e6f7g8h9j0{n:06}").parse().unwrap()
    }

    #[test]
    fn an_agent_is_due_once_it_is_heard_of_and_again_a_while_after_it_was_recorded() {
        let (seen, now) = (AgentsSeen::new(), Instant::now());
        seen.saw(&agent(1), now);
        seen.saw(&agent(1), now);
        assert_eq!(seen.take_due(now), [agent(1)].into());
        seen.saw(&agent(1), now);
        assert!(seen.take_due(now).is_empty());
        seen.saw(&agent(1), now + RECORD_EVERY);
        assert_eq!(seen.take_due(now + RECORD_EVERY), [agent(1)].into());
    }

    #[test]
    fn what_was_not_recorded_is_due_again() {
        let (seen, now) = (AgentsSeen::new(), Instant::now());
        seen.saw(&agent(1), now);
        let due = seen.take_due(now);
        seen.were_not_recorded(due);
        assert_eq!(seen.take_due(now), [agent(1)].into());
    }

    #[test]
    fn no_more_agents_than_the_limit_are_remembered() {
        let (seen, now) = (AgentsSeen::new(), Instant::now());
        for n in 0..=AGENTS_MAX {
            seen.saw(&agent(n), now);
        }
        assert_eq!(seen.take_due(now).len(), AGENTS_MAX);
        assert_eq!(seen.entries().recorded.len(), AGENTS_MAX);
    }
}
