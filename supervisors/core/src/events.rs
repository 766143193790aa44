//! What has happened in a tree: the last events, and counts of all of them.
//!
//! The one idea: supervisors write here what they do anyway, under a lock held for one push, and whoever is curious
//! reads without asking anybody. The log has the same facts for later; this is for who looks now.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::{Exit, TreePath};

/// How many events are kept; older ones are forgotten.
pub const EVENTS_MAX: usize = 256;

/// Something that happened to one life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEvent {
    /// Its place in the order of all events of this tree, from 1.
    pub number: u64,
    /// When it was written down.
    pub at: Instant,
    /// Whom it happened to.
    pub path: TreePath,
    /// Which life of it.
    pub incarnation: u64,
    /// What it was.
    pub what: Happening,
}

/// What can happen to an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It is up.
    Started,
    /// Its start failed, and why.
    StartFailed(String),
    /// It ended, by itself or because its supervisor wanted it. Of those that a killed supervisor took with it, nobody
    /// tells.
    Ended(Exit),
    /// It is blocked in synchronous code.
    Stuck,
    /// It is no longer blocked.
    Unstuck,
    /// It did not end when killed.
    Abandoned,
    /// A fault was put there on purpose.
    Injected(String),
}

/// How often things happened since the tree began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Starts that worked, the first ones included.
    pub starts: u64,
    /// Those of them that were not the first of their child.
    pub restarts: u64,
    /// Starts that failed.
    pub failed_starts: u64,
    /// Ends by panic or error.
    pub crashes: u64,
    /// Ends by a kill.
    pub kills: u64,
    /// Supervisors that gave up.
    pub gave_up: u64,
    /// Times that an actor blocked its thread for too long.
    pub stuck: u64,
    /// Actors that did not end when killed.
    pub abandoned: u64,
}

/// The events of one tree.
#[derive(Default)]
pub(crate) struct Events {
    /// A lock and not an actor: writers are supervisors at work, and it is held for one push.
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    last: VecDeque<TreeEvent>,
    written: u64,
    totals: Totals,
}

impl Events {
    pub(crate) fn note(&self, at: Instant, path: &TreePath, incarnation: u64, what: Happening) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.totals.count(&what, incarnation);
        log.written += 1;
        let number = log.written;
        if log.last.len() == EVENTS_MAX {
            log.last.pop_front();
        }
        log.last.push_back(TreeEvent {
            number,
            at,
            path: path.clone(),
            incarnation,
            what,
        });
    }

    pub(crate) fn last(&self) -> Vec<TreeEvent> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.last.iter().cloned().collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).totals
    }
}

impl Totals {
    fn count(&mut self, what: &Happening, incarnation: u64) {
        match what {
            Happening::Started => {
                self.starts += 1;
                self.restarts += u64::from(incarnation > 1);
            }
            Happening::StartFailed(_) => self.failed_starts += 1,
            Happening::Ended(Exit::Crashed(_)) => self.crashes += 1,
            Happening::Ended(Exit::Killed) => self.kills += 1,
            Happening::Ended(Exit::GaveUp(_)) => self.gave_up += 1,
            Happening::Stuck => self.stuck += 1,
            Happening::Abandoned => self.abandoned += 1,
            Happening::Ended(Exit::Normal | Exit::Shutdown) | Happening::Unstuck | Happening::Injected(_) => {
            }
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::StartFailed(why) => write!(f, "did not start: {why}"),
            Self::Ended(exit) => write!(f, "ended: {exit}"),
            Self::Stuck => f.write_str("stuck in synchronous code"),
            Self::Unstuck => f.write_str("no longer stuck"),
            Self::Abandoned => f.write_str("did not end when killed: abandoned"),
            Self::Injected(fault) => write!(f, "fault injected: {fault}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_events_are_forgotten_and_still_counted() {
        let (events, path) = (Events::default(), TreePath::root("root"));
        for incarnation in 1..=EVENTS_MAX as u64 + 10 {
            events.note(Instant::now(), &path, incarnation, Happening::Started);
        }
        let last = events.last();
        assert_eq!((last.len(), last[0].number), (EVENTS_MAX, 11));
        let totals = events.totals();
        assert_eq!(
            (totals.starts, totals.restarts),
            (EVENTS_MAX as u64 + 10, EVENTS_MAX as u64 + 9)
        );
    }
}
