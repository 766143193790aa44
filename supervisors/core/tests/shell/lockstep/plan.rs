//! A random tree, as data: the spec is made from it, and so is what the oracle expects.
//!
//! Depth 3, all strategies, restart rules and ways to stop, dynamic supervisors, significant children. A tree has slow
//! stops or backoffs, not both: then at most one thing happens at a time, and the oracle can tell the order.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::{BoxedStrategy, Just, any, prop, prop_oneof};
use proptest::strategy::Strategy as Generate;
use supervision::{ChildSpec, Dynamic, DynamicSpec, Shutdown, TreeSpec};

use super::{AutoShutdown, Backoff, Intensity, Restart, Strategy};
use crate::probe::{Child, Log};

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) id: &'static str,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) significant: bool,
    pub(super) backoff: Option<Backoff>,
    pub(super) stop_takes: Duration,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Worker,
    Supervisor(Team),
}

#[derive(Clone, Debug)]
pub(super) struct Team {
    pub(super) strategy: Strategy,
    pub(super) intensity: Intensity,
    pub(super) auto_shutdown: AutoShutdown,
    pub(super) dynamic: bool,
    pub(super) children: Vec<Plan>,
}

/// Names for all children of a tree, and for those added later.
pub(super) const NAMES: [&str; 64] = [
    "aa", "ab", "ac", "ad", "ae", "af", "ag", "ah", "ba", "bb", "bc", "bd", "be", "bf", "bg", "bh", "ca",
    "cb", "cc", "cd", "ce", "cf", "cg", "ch", "da", "db", "dc", "dd", "de", "df", "dg", "dh", "ea", "eb",
    "ec", "ed", "ee", "ef", "eg", "eh", "fa", "fb", "fc", "fd", "fe", "ff", "fg", "fh", "ga", "gb", "gc",
    "gd", "ge", "gf", "gg", "gh", "ha", "hb", "hc", "hd", "he", "hf", "hg", "hh",
];

/// Odd parts of a second, one for each child, so that no two delays end together or with a whole second.
const PRIMES: [u64; 12] = [17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61];

pub(super) fn restart() -> impl Generate<Value = Restart> {
    prop_oneof![
        3 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary)
    ]
}

pub(super) fn worker() -> BoxedStrategy<Plan> {
    let shutdown = prop_oneof![
        1 => Just(Shutdown::BrutalKill),
        4 => Just(Shutdown::Timeout(Duration::from_secs(2))),
        1 => Just(Shutdown::Infinity)
    ];
    let backoff = prop::option::weighted(0.4, 0usize..PRIMES.len());
    (
        restart(),
        shutdown,
        any::<bool>(),
        backoff,
        prop::sample::select(vec![0u64, 0, 1, 3]),
    )
        .prop_map(|(restart, shutdown, significant, backoff, seconds)| Plan {
            id: "",
            restart,
            shutdown,
            significant,
            backoff: backoff.map(|at| {
                let base = Duration::from_millis(1000 + PRIMES[at]);
                Backoff {
                    base,
                    max: 4 * base,
                    reset_after: Duration::from_millis(5500),
                }
            }),
            stop_takes: Duration::from_secs(seconds),
            body: Body::Worker,
        })
        .boxed()
}

/// A supervisor with children that may have children, down to `depth`.
pub(super) fn team(depth: u32) -> BoxedStrategy<Team> {
    let strategy = prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::OneForAll),
        Just(Strategy::RestForOne)
    ];
    let auto = prop_oneof![
        3 => Just(AutoShutdown::Never),
        1 => Just(AutoShutdown::AnySignificant),
        1 => Just(AutoShutdown::AllSignificant)
    ];
    let children = if depth == 1 {
        prop::collection::vec(worker(), 0..4).boxed()
    } else {
        let child = prop_oneof![2 => worker(), 2 => supervisor(depth - 1), 1 => dynamic()];
        prop::collection::vec(child, 1..4).boxed()
    };
    (strategy, auto, intensity(), children)
        .prop_map(|(strategy, auto_shutdown, intensity, children)| Team {
            strategy,
            intensity,
            auto_shutdown,
            dynamic: false,
            children,
        })
        .boxed()
}

fn supervisor(depth: u32) -> BoxedStrategy<Plan> {
    (worker(), team(depth))
        .prop_map(|(plan, team)| supervised(plan, team))
        .boxed()
}

fn dynamic() -> BoxedStrategy<Plan> {
    let team = intensity().prop_map(|intensity| Team {
        strategy: Strategy::OneForOne,
        intensity,
        auto_shutdown: AutoShutdown::Never,
        dynamic: true,
        children: Vec::new(),
    });
    (worker(), team)
        .prop_map(|(plan, team)| supervised(plan, team))
        .boxed()
}

/// A supervisor is given the time that it needs, or none.
fn supervised(plan: Plan, team: Team) -> Plan {
    let shutdown = match plan.shutdown {
        Shutdown::BrutalKill => Shutdown::BrutalKill,
        Shutdown::Timeout(_) | Shutdown::Infinity => Shutdown::Infinity,
    };
    Plan {
        shutdown,
        stop_takes: Duration::ZERO,
        body: Body::Supervisor(team),
        ..plan
    }
}

/// No window ends at a whole second, where failures happen.
fn intensity() -> impl Generate<Value = Intensity> {
    (0u32..4, 1u64..8).prop_map(|(max, seconds)| Intensity {
        max,
        within: Duration::from_millis(seconds * 1000 + 500),
    })
}

impl Plan {
    /// Gives names, and makes a spec that is allowed there.
    pub(super) fn settle(
        &mut self,
        parent: AutoShutdown,
        slow: bool,
        names: &mut impl Iterator<Item = &'static str>,
    ) {
        self.id = names.next().expect("there are enough names");
        self.significant &= parent != AutoShutdown::Never && self.restart != Restart::Permanent;
        if slow {
            self.backoff = None;
        } else {
            self.stop_takes = Duration::ZERO;
        }
        if let Body::Supervisor(team) = &mut self.body {
            team.settle(slow, names);
        }
    }
}

impl Team {
    pub(super) fn settle(&mut self, slow: bool, names: &mut impl Iterator<Item = &'static str>) {
        for child in &mut self.children {
            child.settle(self.auto_shutdown, slow, names);
        }
    }
}

/// The real actors of a plan.
#[derive(Default)]
pub(super) struct Cast {
    pub(super) log: Log,
    pub(super) workers: HashMap<&'static str, Child>,
    pub(super) dynamics: HashMap<&'static str, Dynamic<ChildSpec>>,
}

impl Cast {
    pub(super) fn tree_spec(&mut self, team: &Team) -> TreeSpec {
        let tree = TreeSpec::new(team.strategy, team.intensity).auto_shutdown(team.auto_shutdown);
        let children = team.children.iter();
        children.fold(tree, |tree, child| tree.child(self.child_spec(child)))
    }

    pub(super) fn child_spec(&mut self, plan: &Plan) -> ChildSpec {
        let spec = match &plan.body {
            Body::Worker => {
                let mut child = Child::new(plan.id, &self.log);
                child.stop_takes = plan.stop_takes;
                let spec = child.spec();
                self.workers.insert(plan.id, child);
                spec
            }
            Body::Supervisor(team) if team.dynamic => {
                let handle = Dynamic::new(plan.id);
                let spec = DynamicSpec::new(&handle, 100, team.intensity, |spec: ChildSpec| spec);
                self.dynamics.insert(plan.id, handle);
                ChildSpec::dynamic(plan.id, spec)
            }
            Body::Supervisor(team) => ChildSpec::supervisor(plan.id, self.tree_spec(team)),
        };
        let spec = spec.restart(plan.restart).shutdown(plan.shutdown);
        let spec = if plan.significant {
            spec.significant()
        } else {
            spec
        };
        match plan.backoff {
            Some(backoff) => spec.backoff(backoff),
            None => spec,
        }
    }

    pub(super) fn fail_starts(&self, id: &str, n: u32) {
        self.workers[id].failing_starts.store(n, Ordering::SeqCst);
    }
}
