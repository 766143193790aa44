//! The policy with a world around it.
//!
//! Does what the policy says, with starts that work or do not, and writes it down as the oracle does. What can be judged
//! at once is: nothing starts twice, nothing ends twice, incarnations rise, and nobody outlives the supervisor.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::model::{self, Deed, Pid};
use crate::Exit;
use crate::policy::{Action, ChildRules, Event, Life, Policy, Rules};
use crate::spec::Restart;

/// The policy with the world around it: starts that work or do not, and what is alive.
pub(super) struct World {
    policy: Policy,
    pub(super) rules: Rules,
    pub(super) restarts: BTreeMap<u64, Restart>,
    pub(super) luck: VecDeque<bool>,
    pub(super) alive: BTreeMap<u64, u64>,
    latest: BTreeMap<u64, u64>,
    pub(super) retries: VecDeque<(u64, u64)>,
    trace: Vec<Deed>,
    pub(super) over: bool,
}

impl World {
    pub(super) fn new(rules: Rules, children: &[(Restart, bool)]) -> Self {
        let mut world = Self {
            policy: Policy::new(rules),
            rules,
            restarts: BTreeMap::new(),
            luck: VecDeque::new(),
            alive: BTreeMap::new(),
            latest: BTreeMap::new(),
            retries: VecDeque::new(),
            trace: Vec::new(),
            over: false,
        };
        for (restart, significant) in children {
            world.add(*restart, *significant);
        }
        world
    }

    pub(super) fn add(&mut self, restart: Restart, significant: bool) -> u64 {
        let key = self.policy.add(ChildRules {
            id: "x".into(),
            restart,
            significant,
        });
        self.restarts.insert(key.0, restart);
        key.0
    }

    /// Does what the policy says until it rests; returns what was done.
    pub(super) fn step(&mut self, event: Event, now: Instant) -> Vec<Deed> {
        let mut event = event;
        loop {
            event = match self.policy.step(event, now) {
                Action::Rest => break,
                Action::Start { key, incarnation } => self.start(key.0, incarnation),
                Action::Terminate(keys) => {
                    let keys: Vec<u64> = keys.iter().map(|key| key.0).collect();
                    for key in &keys {
                        assert!(self.alive.remove(key).is_some(), "terminated what was not alive");
                    }
                    self.trace.push(Deed::Terminated(keys));
                    Event::Terminated
                }
                Action::Retry { key, incarnation } => {
                    self.retries.push_back((key.0, incarnation));
                    self.trace.push(Deed::TryAgain {
                        key: key.0,
                        incarnation,
                    });
                    break;
                }
                Action::Exit(exit) => {
                    assert!(self.alive.is_empty(), "ended before its children");
                    self.over = true;
                    self.trace.push(Deed::Exited {
                        gave_up: matches!(exit, Exit::GaveUp(_)),
                    });
                    break;
                }
            };
        }
        std::mem::take(&mut self.trace)
    }

    fn start(&mut self, key: u64, incarnation: u64) -> Event {
        assert!(
            incarnation > self.latest.insert(key, incarnation).unwrap_or(0),
            "incarnations must rise"
        );
        if self.luck.pop_front().unwrap_or(true) {
            assert_eq!(
                self.alive.insert(key, incarnation),
                None,
                "two lives of one child"
            );
            self.trace.push(Deed::Started { key, incarnation });
            Event::Started
        } else {
            self.trace.push(Deed::NotStarted { key, incarnation });
            Event::StartFailed("no luck".to_owned())
        }
    }

    pub(super) fn which_children(&self) -> BTreeMap<u64, Pid> {
        let pid = |life| match life {
            Life::Down => Pid::Undefined,
            Life::Up => Pid::Alive,
            Life::Restarting => Pid::Restarting,
        };
        self.policy
            .children()
            .map(|(key, life)| (key.0, pid(life)))
            .collect()
    }

    pub(super) fn oracle(&self, children: &[(Restart, bool)]) -> model::Supervisor {
        let child = |(at, (restart, significant)): (usize, &(Restart, bool))| model::Child {
            key: at as u64 + 1,
            restart: *restart,
            significant: *significant,
            pid: Pid::Undefined,
            incarnation: 0,
        };
        model::Supervisor {
            strategy: self.rules.strategy,
            intensity: self.rules.intensity,
            auto_shutdown: self.rules.auto_shutdown,
            simple: self.rules.dynamic,
            children: children.iter().enumerate().map(child).collect(),
            restarts: Vec::new(),
            luck: VecDeque::new(),
            trace: Vec::new(),
        }
    }
}
