//! The oracle: OTP's `supervisor.erl`, translated as straight as Rust allows.
//!
//! The one idea: where the policy plans steps and waits for confirmations, this does everything at once by plain calls,
//! as the original does, and writes down what it did. It shares no code with the policy; both must leave the same trace.
//! Function names are those of the original.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::Exit;
use crate::spec::{AutoShutdown, Intensity, Restart, Strategy};

/// What a supervisor did to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Started {
        key: u64,
        incarnation: u64,
    },
    NotStarted {
        key: u64,
        incarnation: u64,
    },
    /// More than one only for dynamic children, which end at the same time.
    Terminated(Vec<u64>),
    TryAgain {
        key: u64,
        incarnation: u64,
    },
    Exited {
        gave_up: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pid {
    Undefined,
    Alive,
    Restarting,
}

#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) key: u64,
    pub(super) restart: Restart,
    pub(super) significant: bool,
    pub(super) pid: Pid,
    pub(super) incarnation: u64,
}

pub(super) struct Supervisor {
    pub(super) strategy: Strategy,
    pub(super) intensity: Intensity,
    pub(super) auto_shutdown: AutoShutdown,
    pub(super) simple: bool,
    pub(super) children: Vec<Child>,
    pub(super) restarts: Vec<Instant>,
    /// Whether the next starts succeed; those after it do.
    pub(super) luck: VecDeque<bool>,
    pub(super) trace: Vec<Deed>,
}

enum Restarted {
    Ok,
    TryAgain(u64),
}

impl Supervisor {
    pub(super) fn init(&mut self) {
        let keys: Vec<u64> = self.children.iter().map(|child| child.key).collect();
        if self.start_children(&keys).is_err() {
            self.terminate(false);
        }
    }

    pub(super) fn start_child(&mut self, key: u64, restart: Restart) {
        let child = Child {
            key,
            restart,
            significant: false,
            pid: Pid::Undefined,
            incarnation: 0,
        };
        self.children.push(child);
        if self.do_start_child(key).is_err() {
            self.children.retain(|child| child.key != key);
        }
    }

    pub(super) fn handle_exit(&mut self, key: u64, incarnation: u64, exit: &Exit, now: Instant) {
        let found = self.children.iter().find(|child| child.key == key);
        let Some(child) = found.cloned() else { return };
        if child.pid != Pid::Alive || child.incarnation != incarnation {
            return;
        }
        match (child.restart, exit) {
            (Restart::Permanent, _) => self.restart(key, now),
            (_, Exit::Normal | Exit::Shutdown | Exit::GaveUp(_)) => self.ended_for_good(&child),
            (Restart::Transient, _) => self.restart(key, now),
            (Restart::Temporary, _) => self.ended_for_good(&child),
        }
    }

    pub(super) fn try_again_restart(&mut self, key: u64, incarnation: u64, now: Instant) {
        let waits = |child: &&Child| {
            child.key == key && child.incarnation == incarnation && child.pid == Pid::Restarting
        };
        if self.children.iter().find(waits).is_some() {
            self.restart(key, now);
        }
    }

    pub(super) fn terminate_child(&mut self, key: u64) {
        if self.children.iter().any(|child| child.key == key) {
            self.terminate_children(&[key]);
            if self.simple {
                self.children.retain(|child| child.key != key);
            }
        }
    }

    pub(super) fn terminate(&mut self, gave_up: bool) {
        let keys: Vec<u64> = self.children.iter().map(|child| child.key).collect();
        if self.simple {
            let alive = self.children.iter().rev().filter(|child| child.pid == Pid::Alive);
            let alive: Vec<u64> = alive.map(|child| child.key).collect();
            if !alive.is_empty() {
                self.trace.push(Deed::Terminated(alive));
            }
            self.children.clear();
        } else {
            self.terminate_children(&keys);
        }
        self.trace.push(Deed::Exited { gave_up });
    }

    fn ended_for_good(&mut self, child: &Child) {
        self.del_child(child.key);
        let due = match self.auto_shutdown {
            _ if !child.significant => false,
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => self
                .children
                .iter()
                .all(|other| !other.significant || other.pid == Pid::Undefined),
        };
        if due {
            self.terminate(false);
        }
    }

    fn restart(&mut self, key: u64, now: Instant) {
        self.child(key).pid = Pid::Undefined;
        if !self.add_restart(now) {
            return self.terminate(true);
        }
        let restarted = match self.strategy {
            Strategy::OneForOne => match self.do_start_child(key) {
                Ok(()) => Restarted::Ok,
                Err(()) => Restarted::TryAgain(key),
            },
            Strategy::RestForOne => self.restart_multiple_children(key, |other| other >= key),
            Strategy::OneForAll => self.restart_multiple_children(key, |_| true),
        };
        if let Restarted::TryAgain(key) = restarted {
            self.child(key).pid = Pid::Restarting;
            let incarnation = self.child(key).incarnation;
            self.trace.push(Deed::TryAgain { key, incarnation });
        }
    }

    fn restart_multiple_children(&mut self, failed: u64, swept: impl Fn(u64) -> bool) -> Restarted {
        let keys = |children: &[Child]| -> Vec<u64> {
            children
                .iter()
                .map(|child| child.key)
                .filter(|key| swept(*key))
                .collect()
        };
        let others: Vec<u64> = keys(&self.children)
            .into_iter()
            .filter(|key| *key != failed)
            .collect();
        self.terminate_children(&others);
        let left = keys(&self.children);
        self.start_children(&left)
            .map_or_else(Restarted::TryAgain, |()| Restarted::Ok)
    }

    fn start_children(&mut self, keys: &[u64]) -> Result<(), u64> {
        keys.iter()
            .try_for_each(|key| self.do_start_child(*key).map_err(|()| *key))
    }

    fn do_start_child(&mut self, key: u64) -> Result<(), ()> {
        let lucky = self.luck.pop_front().unwrap_or(true);
        let child = self.child(key);
        child.incarnation += 1;
        let incarnation = child.incarnation;
        if lucky {
            child.pid = Pid::Alive;
            self.trace.push(Deed::Started { key, incarnation });
            Ok(())
        } else {
            self.trace.push(Deed::NotStarted { key, incarnation });
            Err(())
        }
    }

    fn terminate_children(&mut self, keys: &[u64]) {
        for key in keys.iter().rev() {
            if self.child(*key).pid == Pid::Alive {
                self.trace.push(Deed::Terminated(vec![*key]));
            }
            self.child(*key).pid = Pid::Undefined;
            if self.child(*key).restart == Restart::Temporary {
                self.children.retain(|child| child.key != *key);
            }
        }
    }

    fn del_child(&mut self, key: u64) {
        if self.simple || self.child(key).restart == Restart::Temporary {
            self.children.retain(|child| child.key != key);
        } else {
            self.child(key).pid = Pid::Undefined;
        }
    }

    fn add_restart(&mut self, now: Instant) -> bool {
        let period: Duration = self.intensity.within;
        self.restarts.insert(0, now);
        self.restarts.retain(|at| now.duration_since(*at) <= period);
        self.restarts.len() <= self.intensity.max as usize
    }

    fn child(&mut self, key: u64) -> &mut Child {
        self.children
            .iter_mut()
            .find(|child| child.key == key)
            .expect("the caller just saw it")
    }

    /// Returns what an observer may compare: each child with its life.
    pub(super) fn which_children(&self) -> BTreeMap<u64, Pid> {
        self.children.iter().map(|child| (child.key, child.pid)).collect()
    }
}
