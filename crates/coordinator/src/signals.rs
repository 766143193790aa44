//! What `pulse` publishes: the nexus's health, and that something may have changed. Values to look at, never questions
//! to an actor.
//!
//! A signal says "look again". It may be lost, so everybody who waits for one also looks by itself now and then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::AgentId;
use domain::job::AGENT_LEASES_FAMILY;
use tokio::sync::watch;

/// Jobs and agents whose changes are waited for at once.
const WATCHED_MAX: usize = 16_384;

/// Whether the nexus answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Nobody has asked yet.
    Unknown,
    /// It answers.
    Up,
    /// It does not; in its words.
    Down(String),
}

/// The signals of one coordinator.
pub(crate) struct Signals {
    health: watch::Sender<Health>,
    lanes: watch::Sender<u64>,
    agents: watch::Sender<u64>,
    followups: watch::Sender<u64>,
    /// Jobs and agents whose changes are waited for, by their ULIDs. Not an actor: waiting requests come and go by the
    /// thousand, and each only adds or reads one entry.
    watched: Mutex<HashMap<String, watch::Sender<u64>>>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self {
            health: watch::Sender::new(Health::Unknown),
            lanes: watch::Sender::new(0),
            agents: watch::Sender::new(0),
            followups: watch::Sender::new(0),
            watched: Mutex::new(HashMap::new()),
        }
    }

    /// Passes a hint of the nexus on.
    pub(crate) fn hint(&self, hint: &str) {
        match hint.split_once('/') {
            Some(("lane", _)) => bump(&self.lanes),
            Some(("job" | "log", ulid)) => self.changed(ulid),
            Some((AGENT_LEASES_FAMILY, agent)) => self.changed(agent),
            Some(("agent-name", _)) => bump(&self.agents),
            _ if hint == domain::entity::FOLLOWUPS => bump(&self.followups),
            _ => {}
        }
    }

    /// Hints were lost: everybody looks again.
    pub(crate) fn anything_may_have_changed(&self) {
        [&self.lanes, &self.agents, &self.followups]
            .into_iter()
            .for_each(bump);
        self.watched().values().for_each(bump);
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.health.send_if_modified(|current| {
            let changed = *current != health;
            *current = health;
            changed
        });
    }

    pub(crate) fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    pub(crate) fn lanes(&self) -> watch::Receiver<u64> {
        self.lanes.subscribe()
    }

    pub(crate) fn agents(&self) -> watch::Receiver<u64> {
        self.agents.subscribe()
    }

    pub(crate) fn followups(&self) -> watch::Receiver<u64> {
        self.followups.subscribe()
    }

    /// Changes of one agent's leases that it should hear of, from now on. As with [`Self::job`].
    pub(crate) fn agent(&self, agent: &AgentId) -> Option<watch::Receiver<u64>> {
        self.job(agent.as_str())
    }

    /// Changes of one job or its log from now on. Register before looking. None when too many wait already; poll then.
    pub(crate) fn job(&self, ulid: &str) -> Option<watch::Receiver<u64>> {
        let mut watched = self.watched();
        if watched.len() >= WATCHED_MAX {
            watched.retain(|_, changes| changes.receiver_count() > 0);
        }
        if watched.len() >= WATCHED_MAX {
            return None;
        }
        Some(
            watched
                .entry(ulid.to_owned())
                .or_insert_with(|| watch::Sender::new(0))
                .subscribe(),
        )
    }

    fn changed(&self, ulid: &str) {
        let mut watched = self.watched();
        let Some(changes) = watched.get(ulid) else { return };
        bump(changes);
        if changes.receiver_count() == 0 {
            watched.remove(ulid);
        }
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bump(changes: &watch::Sender<u64>) {
    changes.send_modify(|version| *version = version.wrapping_add(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_wakes_those_whom_it_concerns_and_nobody_else() {
        let signals = Signals::new();
        let (mut lanes, followups) = (signals.lanes(), signals.followups());
        let (one, other) = (signals.job("a").unwrap(), signals.job("b").unwrap());
        signals.hint("lane/cpu=0;mem=0;os = linux");
        signals.hint("log/a");
        assert!(lanes.has_changed().unwrap() && !followups.has_changed().unwrap());
        assert!(one.has_changed().unwrap() && !other.has_changed().unwrap());
        lanes.mark_unchanged();
        signals.anything_may_have_changed();
        assert!(
            lanes.has_changed().unwrap() && followups.has_changed().unwrap() && other.has_changed().unwrap()
        );
    }

    #[test]
    fn a_job_that_nobody_waits_for_is_forgotten_at_its_next_change() {
        let signals = Signals::new();
        drop(signals.job("a"));
        signals.hint("job/a");
        assert!(signals.watched().is_empty());
    }
}
