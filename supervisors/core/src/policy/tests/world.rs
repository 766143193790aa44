//! The policy with a world around it, and the oracle with the same.
//!
//! Both do what they are told to, with starts that work or do not, and write it down. What can be judged at once is:
//! nothing starts twice or ends twice, incarnations rise (I6), and nobody outlives the supervisor (I8).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::model::{self, Pid, Processes};
use super::{Action, ChildKey, ChildRules, Event, Life, Policy, Restart, Rules};
use crate::Exit;

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
        after: Duration,
    },
    Exited {
        gave_up: bool,
    },
}

/// The oracle's side of the world.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) now: Duration,
    /// Whether the next starts succeed; those after it do.
    pub(super) luck: VecDeque<bool>,
    pub(super) deeds: Vec<Deed>,
}

impl Processes for Trace {
    fn now(&self) -> Duration {
        self.now
    }

    fn start(&mut self, key: u64, incarnation: u64) -> bool {
        let lucky = self.luck.pop_front().unwrap_or(true);
        self.deeds.push(if lucky {
            Deed::Started { key, incarnation }
        } else {
            Deed::NotStarted { key, incarnation }
        });
        lucky
    }

    fn shutdown(&mut self, keys: &[u64]) {
        self.deeds.push(Deed::Terminated(keys.to_vec()));
    }

    fn try_again(&mut self, key: u64, incarnation: u64, after: Duration) {
        self.deeds.push(Deed::TryAgain {
            key,
            incarnation,
            after,
        });
    }
}

/// A `try_again` on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    pub(super) due: Duration,
    pub(super) key: u64,
    pub(super) incarnation: u64,
}

/// The policy's side of the world.
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) rules: Rules,
    /// All children that there ever were, by key.
    pub(super) specs: BTreeMap<u64, ChildRules>,
    pub(super) luck: VecDeque<bool>,
    /// The lives of those that are alive.
    pub(super) alive: BTreeMap<u64, u64>,
    latest: BTreeMap<u64, u64>,
    pub(super) retries: Vec<Retry>,
    trace: Vec<Deed>,
    pub(super) over: bool,
    begin: Instant,
}

impl World {
    pub(super) fn new(rules: Rules, children: Vec<ChildRules>) -> Self {
        let mut world = Self {
            policy: Policy::new(rules),
            rules,
            specs: BTreeMap::new(),
            luck: VecDeque::new(),
            alive: BTreeMap::new(),
            latest: BTreeMap::new(),
            retries: Vec::new(),
            trace: Vec::new(),
            over: false,
            begin: Instant::now(),
        };
        for child in children {
            world.add(child);
        }
        world
    }

    pub(super) fn add(&mut self, child: ChildRules) -> u64 {
        let key = self.policy.add(child.clone());
        self.specs.insert(key.0, child);
        key.0
    }

    /// Does what the policy says until it rests; returns what was done.
    pub(super) fn step(&mut self, event: Event, now: Duration) -> Vec<Deed> {
        let before = self.keys();
        self.carry_out(event, now);
        let left = self.keys();
        let gone: Vec<_> = before.into_iter().filter(|key| !left.contains(key)).collect();
        let mut forgotten = self.policy.take_forgotten();
        forgotten.sort_unstable();
        assert_eq!(forgotten, gone, "what is forgotten is said once");
        std::mem::take(&mut self.trace)
    }

    fn keys(&self) -> Vec<ChildKey> {
        self.policy.children().map(|(key, _)| key).collect()
    }

    fn carry_out(&mut self, mut event: Event, now: Duration) {
        loop {
            event = match self.policy.step(event, self.begin + now) {
                Action::Rest => break,
                Action::Start { key, incarnation } => self.start(key.0, incarnation),
                Action::Terminate(keys) => self.terminate(keys.iter().map(|key| key.0).collect()),
                Action::Retry {
                    key,
                    incarnation,
                    after,
                } => {
                    let key = key.0;
                    self.retries.push(Retry {
                        due: now + after,
                        key,
                        incarnation,
                    });
                    self.trace.push(Deed::TryAgain {
                        key,
                        incarnation,
                        after,
                    });
                    break;
                }
                Action::Exit(exit) => {
                    assert!(self.alive.is_empty(), "I8: ended before its children");
                    self.over = true;
                    let gave_up = matches!(exit, Exit::GaveUp(_));
                    self.trace.push(Deed::Exited { gave_up });
                    break;
                }
            };
        }
    }

    fn start(&mut self, key: u64, incarnation: u64) -> Event {
        let before = self.latest.insert(key, incarnation).unwrap_or(0);
        assert!(incarnation > before, "I6: incarnations must rise");
        let temporary = self.specs[&key].restart == Restart::Temporary;
        assert!(!temporary || before == 0, "I4: a temporary child is started once");
        if self.luck.pop_front().unwrap_or(true) {
            let twin = self.alive.insert(key, incarnation);
            assert_eq!(twin, None, "I6: two lives of one child");
            self.trace.push(Deed::Started { key, incarnation });
            Event::Started
        } else {
            self.trace.push(Deed::NotStarted { key, incarnation });
            Event::StartFailed("no luck".to_owned())
        }
    }

    fn terminate(&mut self, keys: Vec<u64>) -> Event {
        for key in &keys {
            assert!(self.alive.remove(key).is_some(), "terminated what was not alive");
        }
        self.trace.push(Deed::Terminated(keys));
        Event::Terminated
    }

    pub(super) fn which_children(&self) -> Vec<(String, Pid)> {
        let pid = |life| match life {
            Life::Down => Pid::Undefined,
            Life::Up => Pid::Alive,
            Life::Restarting => Pid::Restarting,
            Life::Delayed => Pid::Delayed,
        };
        self.policy
            .children()
            .map(|(key, life)| (self.specs[&key.0].id.to_string(), pid(life)))
            .collect()
    }
}

/// Makes the oracle's child of the same rules.
pub(super) fn model_child(key: u64, rules: &ChildRules) -> model::Child {
    model::Child {
        key,
        id: rules.id.to_string(),
        restart: rules.restart,
        significant: rules.significant,
        backoff: rules.backoff,
        pid: Pid::Undefined,
        incarnation: 0,
        failures: 0,
        up_since: None,
    }
}

/// Makes the oracle of the same rules.
pub(super) fn model_supervisor(rules: Rules, children: &BTreeMap<u64, ChildRules>) -> model::Supervisor {
    model::Supervisor {
        strategy: rules.strategy,
        intensity: rules.intensity,
        auto_shutdown: rules.auto_shutdown,
        simple: rules.dynamic,
        children: children
            .iter()
            .map(|(key, rules)| model_child(*key, rules))
            .collect(),
        restarts: Vec::new(),
        end: None,
    }
}
