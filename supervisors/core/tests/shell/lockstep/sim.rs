//! What should happen: one oracle for each supervisor, in a tree.
//!
//! The oracle of a supervisor starts and ends its children through [`Processes`]; a child that is a supervisor is an
//! oracle again. Here is what the oracle leaves open: how long a stop takes, who fails to start, and whose end is
//! whose exit.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use supervision::Shutdown;

use super::Exit;
use super::model::{self, End, Pid, Processes, Refusal};
use super::plan::{Body, Plan, Team};

/// What all oracles of one tree share.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) now: Duration,
    /// What each supervisor does, by its path.
    pub(super) log: BTreeMap<String, Vec<String>>,
    /// How many starts of a worker still fail.
    pub(super) failing: HashMap<&'static str, u32>,
    /// Two things are to happen at the same time, so nobody knows what will.
    pub(super) ambiguous: bool,
}

pub(super) type Shared = Rc<RefCell<Stage>>;

/// One life of a supervisor.
pub(super) struct Node {
    pub(super) model: model::Supervisor,
    pub(super) bodies: Bodies,
}

pub(super) struct Bodies {
    pub(super) path: String,
    pub(super) plans: BTreeMap<u64, Plan>,
    /// Children that are up; a supervisor with its own node.
    pub(super) alive: BTreeMap<u64, Option<Box<Node>>>,
    retries: Vec<Retry>,
    stage: Shared,
}

#[derive(Clone, Copy)]
struct Retry {
    due: Duration,
    key: u64,
    incarnation: u64,
}

impl Node {
    pub(super) fn new(path: String, team: &Team, stage: &Shared) -> Self {
        let plans: BTreeMap<u64, Plan> = (1..).zip(team.children.iter().cloned()).collect();
        let model = model::Supervisor {
            strategy: team.strategy,
            intensity: team.intensity,
            auto_shutdown: team.auto_shutdown,
            simple: team.dynamic,
            children: plans.iter().map(|(key, plan)| child(*key, plan)).collect(),
            restarts: Vec::new(),
            end: None,
        };
        let bodies = Bodies {
            path,
            plans,
            alive: BTreeMap::new(),
            retries: Vec::new(),
            stage: Rc::clone(stage),
        };
        Self { model, bodies }
    }

    pub(super) fn init(&mut self) {
        self.model.init(&mut self.bodies);
    }

    /// Does something to the supervisor at the end of `way`; if it ends by that, it ends for those above, too.
    pub(super) fn act<R>(&mut self, way: &[u64], deed: impl FnOnce(&mut Node) -> R) -> R {
        let [key, way @ ..] = way else { return deed(self) };
        let inner = self.bodies.alive.get_mut(key).and_then(Option::as_mut);
        let inner = inner.expect("the way leads through supervisors that are up");
        let result = inner.act(way, deed);
        let exit = match inner.model.end {
            None => return result,
            Some(End::Intensity) => Exit::GaveUp(String::new()),
            Some(End::AutoShutdown | End::Asked | End::FailedInit) => Exit::Shutdown,
        };
        self.on_exit(*key, &exit);
        result
    }

    /// A child has ended by itself.
    pub(super) fn on_exit(&mut self, key: u64, exit: &Exit) {
        self.bodies.alive.remove(&key);
        let child = self.model.children.iter().find(|child| child.key == key);
        let incarnation = child.expect("it was up").incarnation;
        self.model.handle_exit(key, incarnation, exit, &mut self.bodies);
    }

    /// A worker stops of its own accord.
    pub(super) fn on_leave(&mut self, key: u64) {
        let plan = &self.bodies.plans[&key];
        let (id, takes) = (plan.id, plan.stop_takes);
        self.bodies.stage.borrow_mut().now += takes;
        self.bodies.write(format!("-{id}"));
        self.on_exit(key, &Exit::Normal);
    }

    pub(super) fn start_child(&mut self, plan: Plan) -> Result<(), Refusal> {
        let key = self.bodies.plans.keys().next_back().map_or(1, |key| key + 1);
        let child = child(key, &plan);
        self.bodies.plans.insert(key, plan);
        self.model.start_child(child, &mut self.bodies)
    }

    /// Lets everything happen that is due by then.
    pub(super) fn advance(&mut self, until: Duration) {
        while self.model.end.is_none() {
            let Some((way, retry)) = self.next_retry(until) else {
                break;
            };
            let stage = Rc::clone(&self.bodies.stage);
            let now = stage.borrow().now.max(retry.due);
            stage.borrow_mut().now = now;
            self.act(&way, |node| {
                let same = |other: &Retry| other.key == retry.key && other.incarnation == retry.incarnation;
                node.bodies.retries.retain(|other| !same(other));
                node.model
                    .try_again_restart(retry.key, retry.incarnation, &mut node.bodies);
            });
        }
        let mut stage = self.bodies.stage.borrow_mut();
        stage.now = stage.now.max(until);
    }

    fn next_retry(&self, until: Duration) -> Option<(Vec<u64>, Retry)> {
        let mut all = Vec::new();
        self.retries(&mut Vec::new(), &mut all);
        all.sort_by_key(|(_, retry)| retry.due);
        if let [(_, first), (_, second), ..] = all[..] {
            self.bodies.stage.borrow_mut().ambiguous |= first.due == second.due;
        }
        all.into_iter().next().filter(|(_, retry)| retry.due <= until)
    }

    fn retries(&self, way: &mut Vec<u64>, all: &mut Vec<(Vec<u64>, Retry)>) {
        all.extend(self.bodies.retries.iter().map(|retry| (way.clone(), *retry)));
        for (key, node) in &self.bodies.alive {
            if let Some(node) = node {
                way.push(*key);
                node.retries(way, all);
                way.pop();
            }
        }
    }

    /// Calls back for each supervisor that is up, with the way to it.
    pub(super) fn visit<'a>(&'a self, way: &mut Vec<u64>, visitor: &mut impl FnMut(&[u64], &'a Node)) {
        visitor(way, self);
        for (key, node) in &self.bodies.alive {
            if let Some(node) = node {
                way.push(*key);
                node.visit(way, visitor);
                way.pop();
            }
        }
    }
}

impl Bodies {
    fn write(&self, entry: String) {
        let mut stage = self.stage.borrow_mut();
        stage.log.entry(self.path.clone()).or_default().push(entry);
    }

    /// Ends one child and returns how long that takes.
    fn end(&mut self, key: u64) -> Duration {
        let node = self.alive.remove(&key).expect("the oracle ends what is up");
        let Plan {
            id,
            shutdown,
            stop_takes,
            ..
        } = self.plans[&key];
        match (node, shutdown) {
            (_, Shutdown::BrutalKill) => Duration::ZERO,
            (None, Shutdown::Timeout(limit)) if stop_takes > limit => limit,
            (None, Shutdown::Timeout(_) | Shutdown::Infinity) => {
                self.write(format!("-{id}"));
                stop_takes
            }
            (Some(mut node), Shutdown::Timeout(_) | Shutdown::Infinity) => {
                let begin = self.now();
                node.model.stop(End::Asked, &mut node.bodies);
                let took = self.now() - begin;
                self.stage.borrow_mut().now = begin;
                took
            }
        }
    }
}

impl Processes for Bodies {
    fn now(&self) -> Duration {
        self.stage.borrow().now
    }

    fn start(&mut self, key: u64, _: u64) -> bool {
        let plan = &self.plans[&key];
        let node = match &plan.body {
            Body::Worker => {
                let mut stage = self.stage.borrow_mut();
                let failing = stage.failing.entry(plan.id).or_default();
                let lucky = *failing == 0;
                *failing = failing.saturating_sub(1);
                drop(stage);
                self.write(format!("{}{}", if lucky { '+' } else { '!' }, plan.id));
                if !lucky {
                    return false;
                }
                None
            }
            Body::Supervisor(team) => {
                let mut node = Node::new(format!("{}/{}", self.path, plan.id), team, &self.stage);
                node.init();
                if node.model.end.is_some() {
                    return false;
                }
                Some(Box::new(node))
            }
        };
        self.alive.insert(key, node);
        true
    }

    fn shutdown(&mut self, keys: &[u64]) {
        let took = keys.iter().map(|key| self.end(*key)).max();
        self.stage.borrow_mut().now += took.unwrap_or_default();
    }

    fn try_again(&mut self, key: u64, incarnation: u64, after: Duration) {
        let due = self.now() + after;
        self.stage.borrow_mut().ambiguous |= !after.is_zero() && due.subsec_nanos() == 0;
        self.retries.push(Retry {
            due,
            key,
            incarnation,
        });
    }
}

fn child(key: u64, plan: &Plan) -> model::Child {
    model::Child {
        key,
        id: plan.id.to_owned(),
        restart: plan.restart,
        significant: plan.significant,
        backoff: plan.backoff,
        pid: Pid::Undefined,
        incarnation: 0,
        failures: 0,
        up_since: None,
    }
}
