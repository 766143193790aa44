//! The rules of supervision: what a supervisor does about what happened.
//!
//! The one idea: [`Policy::step`] takes an event and returns the one thing to do next; the shell does it and reports
//! back with the next event. While a `Start` or a `Terminate` is unconfirmed nothing else is decided, so the order of
//! starts and terminations is the order of confirmations. No clock (`now` is an argument), no tokio, no `ractor`.
//! The rules are those of OTP's `supervisor.erl`; where they surprise, the comment says so.

mod pace;
mod requests;
mod vocabulary;
mod window;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::pace::Pace;
pub(crate) use self::vocabulary::{Action, ChildKey, ChildRules, Event, Life, Rules};
use self::window::Window;
use crate::Exit;
use crate::spec::{AutoShutdown, Intensity, Restart, Strategy};

/// The state of one supervisor's life.
pub(crate) struct Policy {
    rules: Rules,
    window: Window,
    children: BTreeMap<ChildKey, Child>,
    ids: HashMap<Arc<str>, ChildKey>,
    /// Children that are no more, until somebody asks.
    forgotten: Vec<ChildKey>,
    n_keys: u64,
    purpose: Purpose,
    plan: VecDeque<Step>,
    unconfirmed: Option<Step>,
}

struct Child {
    rules: ChildRules,
    life: Life,
    incarnation: u64,
    /// Why the last attempt to restart it failed.
    trouble: String,
    pace: Pace,
}

impl Child {
    fn new(rules: ChildRules) -> Self {
        Self {
            pace: Pace::new(rules.backoff),
            rules,
            life: Life::Down,
            incarnation: 0,
            trouble: String::new(),
        }
    }
}

/// What a failed start means depends on what it was for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Init,
    Spawn,
    Revive,
    Restart,
    End,
}

enum Step {
    Terminate(Vec<ChildKey>),
    Start(ChildKey),
    Delay(ChildKey, Duration),
    Exit(Exit),
}

impl Policy {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            window: Window::new(rules.intensity),
            children: BTreeMap::new(),
            ids: HashMap::new(),
            forgotten: Vec::new(),
            n_keys: 0,
            purpose: Purpose::Init,
            plan: VecDeque::new(),
            unconfirmed: None,
        }
    }

    /// Takes what happened and returns what to do next. Events that do not fit are ignored: confirmations of nothing,
    /// events of an earlier life, and anything but the confirmation while an action is unconfirmed.
    pub(crate) fn step(&mut self, event: Event, now: Instant) -> Action {
        match (self.unconfirmed.take(), event) {
            (None, event) => self.decide(event, now),
            (Some(Step::Start(key)), Event::Started) => {
                self.on_started(key, now);
                self.next()
            }
            (Some(Step::Start(key)), Event::StartFailed(why)) => self.on_start_failed(key, &why),
            (Some(Step::Terminate(keys)), Event::Terminated) => {
                keys.into_iter().for_each(|key| self.settle(key));
                self.next()
            }
            (unconfirmed, _) => {
                self.unconfirmed = unconfirmed;
                Action::Rest
            }
        }
    }

    /// Returns the children forgotten since the last call: temporary or dynamic, and ended.
    pub(crate) fn take_forgotten(&mut self) -> Vec<ChildKey> {
        std::mem::take(&mut self.forgotten)
    }

    /// Returns when the restarts happened that the window held at the last one.
    pub(crate) fn restarts(&self) -> impl Iterator<Item = Instant> {
        self.window.restarts()
    }

    /// Returns the children in start order.
    pub(crate) fn children(&self) -> impl Iterator<Item = (ChildKey, Life)> {
        self.children.iter().map(|(key, child)| (*key, child.life))
    }

    fn decide(&mut self, event: Event, now: Instant) -> Action {
        match event {
            Event::Init => self.pursue(
                Purpose::Init,
                self.children.keys().copied().map(Step::Start).collect(),
            ),
            Event::Spawn(key) => self.pursue(Purpose::Spawn, [Step::Start(key)].into()),
            Event::Revive(key) => self.pursue(Purpose::Revive, [Step::Start(key)].into()),
            Event::End(key) => self.pursue(Purpose::End, [Step::Terminate(vec![key])].into()),
            Event::Exited {
                key,
                incarnation,
                exit,
            } => self.on_exited(key, incarnation, &exit, now),
            Event::Retry { key, incarnation } => self.on_retry(key, incarnation, now),
            Event::Shutdown => self.wind_down(Exit::Shutdown),
            Event::Started | Event::StartFailed(_) | Event::Terminated => Action::Rest,
        }
    }

    fn on_exited(&mut self, key: ChildKey, incarnation: u64, exit: &Exit, now: Instant) -> Action {
        let Some(child) = self.children.get_mut(&key) else {
            return Action::Rest;
        };
        if child.life != Life::Up || child.incarnation != incarnation {
            return Action::Rest;
        }
        child.life = Life::Down;
        let again = match child.rules.restart {
            Restart::Permanent => true,
            Restart::Transient => exit.is_abnormal(),
            Restart::Temporary => false,
        };
        if again {
            return self.restart(key, &exit.to_string(), now);
        }
        let significant = child.rules.significant;
        self.settle(key);
        if significant && self.auto_shutdown_is_due() {
            self.wind_down(Exit::Shutdown)
        } else {
            Action::Rest
        }
    }

    fn on_retry(&mut self, key: ChildKey, incarnation: u64, now: Instant) -> Action {
        let child = self.children.get_mut(&key);
        let Some(child) = child.filter(|child| child.incarnation == incarnation) else {
            return Action::Rest;
        };
        let waited_as = child.life;
        if matches!(waited_as, Life::Down | Life::Up) {
            return Action::Rest;
        }
        // Its retry is used up: if a sibling's start fails first, the retry that follows is the sibling's.
        child.life = Life::Down;
        if waited_as == Life::Delayed {
            return self.sweep(key, None);
        }
        let why = format!("could not be restarted: {}", child.trouble);
        self.restart(key, &why, now)
    }

    fn on_started(&mut self, key: ChildKey, now: Instant) {
        if let Some(child) = self.children.get_mut(&key) {
            child.life = Life::Up;
            child.pace.up(now);
        }
    }

    fn on_start_failed(&mut self, key: ChildKey, why: &str) -> Action {
        let Some(child) = self.children.get_mut(&key) else {
            return self.next();
        };
        match self.purpose {
            Purpose::Init => {
                let line = format!("child {:?} could not start: {why}", child.rules.id);
                self.wind_down(Exit::Crashed(line))
            }
            Purpose::Spawn => {
                self.forget(key);
                self.next()
            }
            Purpose::Revive | Purpose::End => self.next(),
            // Siblings of the same sweep that come later stay down: the retry sweeps again, from this child on.
            Purpose::Restart => {
                child.life = Life::Restarting;
                why.clone_into(&mut child.trouble);
                let incarnation = child.incarnation;
                self.plan.clear();
                Action::Retry {
                    key,
                    incarnation,
                    after: Duration::ZERO,
                }
            }
        }
    }

    fn restart(&mut self, key: ChildKey, why: &str, now: Instant) -> Action {
        if !self.window.admit(now) {
            return self.wind_down(Exit::GaveUp(self.last_words(key, why)));
        }
        let delay = self
            .children
            .get_mut(&key)
            .and_then(|child| child.pace.delay(now));
        self.sweep(key, delay)
    }

    /// Ends those who share the child's fate, in reverse start order, and starts them and the child, in start order: at
    /// once, or after the delay, in another sweep that ends what was started meanwhile.
    fn sweep(&mut self, key: ChildKey, delay: Option<Duration>) -> Action {
        let swept: Vec<ChildKey> = match self.rules.strategy {
            Strategy::OneForOne => vec![key],
            Strategy::OneForAll => self.children.keys().copied().collect(),
            Strategy::RestForOne => self.children.range(key..).map(|(key, _)| *key).collect(),
        };
        let ends = swept
            .iter()
            .rev()
            .filter(|other| **other != key)
            .map(|other| Step::Terminate(vec![*other]));
        // A child that had ended for good, by itself or on request, comes back with the sweep, a temporary one does
        // not: `restart_multiple_children` of `supervisor.erl` starts all whose specs are left.
        let starts = swept
            .iter()
            .filter(|key| self.children[key].rules.restart != Restart::Temporary)
            .map(|key| Step::Start(*key));
        let plan = match delay {
            None => ends.chain(starts).collect(),
            Some(delay) => ends.chain([Step::Delay(key, delay)]).collect(),
        };
        self.pursue(Purpose::Restart, plan)
    }

    /// Ends all children in reverse start order, then the supervisor.
    fn wind_down(&mut self, exit: Exit) -> Action {
        let keys: Vec<ChildKey> = self.children.keys().rev().copied().collect();
        let ends: Vec<Step> = if self.rules.dynamic {
            vec![Step::Terminate(keys)]
        } else {
            keys.into_iter().map(|key| Step::Terminate(vec![key])).collect()
        };
        self.pursue(Purpose::End, ends.into_iter().chain([Step::Exit(exit)]).collect())
    }

    fn pursue(&mut self, purpose: Purpose, plan: VecDeque<Step>) -> Action {
        self.purpose = purpose;
        self.plan = plan;
        self.next()
    }

    fn next(&mut self) -> Action {
        while let Some(step) = self.plan.pop_front() {
            match step {
                Step::Exit(exit) => return Action::Exit(exit),
                Step::Delay(key, after) => {
                    self.set(key, Life::Delayed);
                    let incarnation = self.children.get(&key).map_or(0, |child| child.incarnation);
                    return Action::Retry {
                        key,
                        incarnation,
                        after,
                    };
                }
                Step::Start(key) => {
                    if let Some(incarnation) = self.give_birth(key) {
                        self.unconfirmed = Some(Step::Start(key));
                        return Action::Start { key, incarnation };
                    }
                }
                Step::Terminate(keys) => {
                    let (up, down): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| self.is_up(*key));
                    down.into_iter().for_each(|key| self.settle(key));
                    if !up.is_empty() {
                        self.unconfirmed = Some(Step::Terminate(up.clone()));
                        return Action::Terminate(up);
                    }
                }
            }
        }
        Action::Rest
    }

    /// Returns the number of the child's next life, or nothing for a child that is gone or up.
    fn give_birth(&mut self, key: ChildKey) -> Option<u64> {
        let child = self
            .children
            .get_mut(&key)
            .filter(|child| child.life != Life::Up)?;
        child.incarnation += 1;
        Some(child.incarnation)
    }

    /// Marks a child as ended for good and forgets it if its spec is not kept.
    fn settle(&mut self, key: ChildKey) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        child.life = Life::Down;
        if child.rules.restart == Restart::Temporary || self.rules.dynamic {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: ChildKey) {
        if let Some(child) = self.children.remove(&key) {
            self.ids.remove(&child.rules.id);
            self.forgotten.push(key);
        }
    }

    fn set(&mut self, key: ChildKey, life: Life) {
        if let Some(child) = self.children.get_mut(&key) {
            child.life = life;
        }
    }

    fn is_up(&self, key: ChildKey) -> bool {
        self.children
            .get(&key)
            .is_some_and(|child| child.life == Life::Up)
    }

    fn auto_shutdown_is_due(&self) -> bool {
        match self.rules.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !self
                .children
                .values()
                .any(|child| child.rules.significant && child.life != Life::Down),
        }
    }

    fn last_words(&self, key: ChildKey, why: &str) -> String {
        let id = self.children.get(&key).map_or("?", |child| &*child.rules.id);
        let Intensity { max, within } = self.rules.intensity;
        format!(
            "child {id:?} {why}; failure {} within {within:?}, {max} allowed",
            max.saturating_add(1)
        )
    }
}
