//! What `pulse` publishes: the nexus's health, and that something may have changed. Values to look at, never questions
//! to an actor.
//!
//! A signal says "look again". It may be lost, so everybody who waits for one also looks by itself now and then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::AgentId;
use domain::job::AGENT_LEASES_FAMILY;
use ledger::Standing;
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
    /// It answers, but this coordinator must not use it, and why.
    Refused(String),
}

/// What is known of the nexus.
#[derive(Debug, Clone)]
pub(crate) struct NexusState {
    /// How the newest look at it went.
    pub(crate) health: Health,
    /// What it said of itself when a look last went well.
    pub(crate) standing: Option<Standing>,
    /// How often another process or replica of it was found than before.
    pub(crate) era_changes: u64,
    /// It may be used. An outage does not change that: it is told by each call.
    pub(crate) is_open: bool,
}

/// The signals of one coordinator.
pub(crate) struct Signals {
    nexus: watch::Sender<NexusState>,
    lanes: watch::Sender<u64>,
    agents: watch::Sender<u64>,
    followups: watch::Sender<u64>,
    /// Jobs and agents whose changes are waited for, by their ULIDs. Not an actor: waiting requests come and go by the
    /// thousand, and each only adds or reads one entry.
    watched: Mutex<HashMap<String, watch::Sender<u64>>>,
}

impl Signals {
    /// `is_open` says whether the nexus may be used before it was inspected.
    pub(crate) fn new(is_open: bool) -> Self {
        Self {
            nexus: watch::Sender::new(NexusState {
                health: Health::Unknown,
                standing: None,
                era_changes: 0,
                is_open,
            }),
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

    /// A look at the nexus went badly. Only a refusal closes the gate.
    pub(crate) fn set_health(&self, health: Health) {
        self.nexus.send_modify(|nexus| {
            nexus.is_open &= !matches!(health, Health::Refused(_));
            nexus.health = health;
        });
    }

    /// A look at the nexus went well. If it is another than before, everybody looks again.
    pub(crate) fn nexus_passed(&self, standing: Standing) {
        let mut is_another = false;
        self.nexus.send_modify(|nexus| {
            let before = nexus.standing.as_ref();
            is_another = before.is_some_and(|before| before.era != standing.era);
            nexus.era_changes += u64::from(is_another);
            nexus.standing = Some(standing);
            nexus.health = Health::Up;
            nexus.is_open = true;
        });
        if is_another {
            self.anything_may_have_changed();
        }
    }

    /// What is known of the nexus now, and from now on.
    pub(crate) fn watch_nexus(&self) -> watch::Receiver<NexusState> {
        self.nexus.subscribe()
    }

    pub(crate) fn nexus(&self) -> NexusState {
        self.nexus.borrow().clone()
    }

    pub(crate) fn health(&self) -> Health {
        self.nexus.borrow().health.clone()
    }

    /// Says whether nexus and vault may be used at all.
    pub(crate) fn is_open(&self) -> bool {
        self.nexus.borrow().is_open
    }

    /// The nexus's era as it was last observed.
    pub(crate) fn era(&self) -> Option<String> {
        let nexus = self.nexus.borrow();
        nexus.standing.as_ref().map(|standing| standing.era.clone())
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
        let signals = Signals::new(true);
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

    fn standing(era: &str) -> Standing {
        Standing {
            description: "a store".to_owned(),
            durability: "everything".to_owned(),
            era: era.to_owned(),
            short_replications: 0,
            room: None,
            warnings: Vec::new(),
            unfit: None,
        }
    }

    #[test]
    fn another_era_is_counted_and_everybody_looks_again() {
        let signals = Signals::new(false);
        let agents = signals.agents();
        signals.nexus_passed(standing("one"));
        signals.set_health(Health::Down("gone".to_owned()));
        signals.nexus_passed(standing("one"));
        assert!(!agents.has_changed().unwrap());
        signals.nexus_passed(standing("two"));
        assert!(agents.has_changed().unwrap());
        assert_eq!(signals.nexus().era_changes, 1);
        assert_eq!(signals.era().as_deref(), Some("two"));
    }

    #[test]
    fn an_inspection_opens_the_gate_and_only_a_refusal_closes_it() {
        let signals = Signals::new(false);
        signals.set_health(Health::Down("not yet".to_owned()));
        assert!(!signals.is_open());
        signals.nexus_passed(standing("one"));
        signals.set_health(Health::Down("gone".to_owned()));
        assert!(signals.is_open(), "each call says by itself that it is gone");
        signals.set_health(Health::Refused("another vault".to_owned()));
        assert!(!signals.is_open());
        signals.set_health(Health::Down("gone".to_owned()));
        assert!(!signals.is_open(), "nobody knows yet that it is right again");
    }

    #[test]
    fn a_job_that_nobody_waits_for_is_forgotten_at_its_next_change() {
        let signals = Signals::new(true);
        drop(signals.job("a"));
        signals.hint("job/a");
        assert!(signals.watched().is_empty());
    }
}
