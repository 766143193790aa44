//! The policy against the oracle and against the invariants, under random scripts; and single rules by example.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::{Just, ProptestConfig, any, prop, prop_oneof, proptest};
use proptest::sample::Index;
use proptest::strategy::Strategy as Generate;

use super::model::{self, Deed, Pid};
use super::*;

/// The policy with the world around it: starts that work or do not, and what is alive.
struct World {
    policy: Policy,
    rules: Rules,
    restarts: BTreeMap<u64, Restart>,
    luck: VecDeque<bool>,
    alive: BTreeMap<u64, u64>,
    latest: BTreeMap<u64, u64>,
    retries: Vec<(u64, u64)>,
    trace: Vec<Deed>,
    over: bool,
}

impl World {
    fn new(rules: Rules, children: &[(Restart, bool)]) -> Self {
        let mut world = Self {
            policy: Policy::new(rules),
            rules,
            restarts: BTreeMap::new(),
            luck: VecDeque::new(),
            alive: BTreeMap::new(),
            latest: BTreeMap::new(),
            retries: Vec::new(),
            trace: Vec::new(),
            over: false,
        };
        for (restart, significant) in children {
            world.add(*restart, *significant);
        }
        world
    }

    fn add(&mut self, restart: Restart, significant: bool) -> u64 {
        let key = self.policy.add(ChildRules {
            id: "x".into(),
            restart,
            significant,
        });
        self.restarts.insert(key.0, restart);
        key.0
    }

    /// Does what the policy says until it rests; returns what was done.
    fn step(&mut self, event: Event, now: Instant) -> Vec<Deed> {
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
                    self.retries.push((key.0, incarnation));
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

    fn which_children(&self) -> BTreeMap<u64, Pid> {
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

    fn oracle(&self, children: &[(Restart, bool)]) -> model::Supervisor {
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

/// One line of a random script. Children are chosen by an index into those that are alive.
#[derive(Clone, Debug)]
enum Line {
    Exit(Index, Exit),
    /// The end of an earlier life, reported late.
    StaleExit(Index),
    Retry,
    BadLuck(Vec<bool>),
    Wait(u64),
    Spawn(Restart),
    End(Index),
}

fn restart() -> impl Generate<Value = Restart> {
    prop_oneof![
        3 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary)
    ]
}

fn child() -> impl Generate<Value = (Restart, bool)> {
    (restart(), any::<bool>())
        .prop_map(|(restart, significant)| (restart, significant && restart != Restart::Permanent))
}

fn exit() -> impl Generate<Value = Exit> {
    prop_oneof![
        3 => Just(Exit::Crashed("boom".to_owned())),
        1 => Just(Exit::Killed),
        1 => Just(Exit::Normal),
        1 => Just(Exit::Shutdown),
        1 => Just(Exit::GaveUp("child".to_owned())),
    ]
}

fn line() -> impl Generate<Value = Line> {
    prop_oneof![
        6 => (any::<Index>(), exit()).prop_map(|(who, exit)| Line::Exit(who, exit)),
        1 => any::<Index>().prop_map(Line::StaleExit),
        3 => Just(Line::Retry),
        2 => prop::collection::vec(any::<bool>(), 1..4).prop_map(Line::BadLuck),
        4 => (0u64..4).prop_map(Line::Wait),
        2 => restart().prop_map(Line::Spawn),
        1 => any::<Index>().prop_map(Line::End),
    ]
}

fn rules() -> impl Generate<Value = Rules> {
    let strategy = prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::OneForAll),
        Just(Strategy::RestForOne)
    ];
    let auto = prop_oneof![
        Just(AutoShutdown::Never),
        Just(AutoShutdown::AnySignificant),
        Just(AutoShutdown::AllSignificant)
    ];
    (strategy, auto, 0u32..4, 1u64..6, prop::bool::weighted(0.25)).prop_map(
        |(strategy, auto_shutdown, max, within, dynamic)| Rules {
            strategy: if dynamic { Strategy::OneForOne } else { strategy },
            intensity: Intensity {
                max,
                within: Duration::from_secs(within),
            },
            auto_shutdown: if dynamic {
                AutoShutdown::Never
            } else {
                auto_shutdown
            },
            dynamic,
        },
    )
}

/// Plays a script against policy and oracle, and hands each line's deeds to `judge`.
fn play(
    rules: Rules,
    children: &[(Restart, bool)],
    script: Vec<Line>,
    mut judge: impl FnMut(&World, Option<(u64, &Exit)>, &[Deed], Instant),
) {
    let children: &[_] = if rules.dynamic { &[] } else { children };
    let mut world = World::new(rules, children);
    let mut oracle = world.oracle(children);
    let mut now = Instant::now();
    // The first line may already be bad luck for the start of the tree.
    let mut script = VecDeque::from(script);
    if let Some(Line::BadLuck(luck)) = script.front() {
        world.luck.extend(luck);
        oracle.luck.extend(luck);
    }
    let deeds = world.step(Event::Init, now);
    oracle.init();
    assert_eq!(deeds, std::mem::take(&mut oracle.trace));
    judge(&world, None, &deeds, now);
    while let Some(line) = script.pop_front().filter(|_| !world.over) {
        let mut failed = None;
        let deeds = match line {
            Line::Exit(who, exit) => {
                let Some((key, incarnation)) = pick(&world.alive, who) else {
                    continue;
                };
                world.alive.remove(&key);
                oracle.handle_exit(key, incarnation, &exit, now);
                failed = Some((key, exit.clone()));
                world.step(
                    Event::Exited {
                        key: ChildKey(key),
                        incarnation,
                        exit,
                    },
                    now,
                )
            }
            Line::StaleExit(who) => {
                let Some((key, incarnation)) = pick(&world.alive, who) else {
                    continue;
                };
                let exit = Exit::Killed;
                let deeds = world.step(
                    Event::Exited {
                        key: ChildKey(key),
                        incarnation: incarnation - 1,
                        exit,
                    },
                    now,
                );
                assert_eq!(deeds, [], "a stale exit must be ignored");
                deeds
            }
            Line::Retry if world.retries.is_empty() => continue,
            Line::Retry => {
                let (key, incarnation) = world.retries.remove(0);
                oracle.try_again_restart(key, incarnation, now);
                failed = Some((key, Exit::Killed));
                world.step(
                    Event::Retry {
                        key: ChildKey(key),
                        incarnation,
                    },
                    now,
                )
            }
            Line::BadLuck(luck) => {
                (world.luck, oracle.luck) = (luck.clone().into(), luck.into());
                continue;
            }
            Line::Wait(seconds) => {
                now += Duration::from_secs(seconds);
                continue;
            }
            Line::Spawn(_) if !rules.dynamic => continue,
            Line::Spawn(restart) => {
                let key = world.add(restart, false);
                oracle.start_new(key, restart);
                world.step(Event::Spawn(ChildKey(key)), now)
            }
            Line::End(who) => {
                let Some((key, _)) = pick(&world.alive, who) else {
                    continue;
                };
                oracle.terminate_child(key);
                world.step(Event::End(ChildKey(key)), now)
            }
        };
        assert_eq!(deeds, std::mem::take(&mut oracle.trace));
        assert_eq!(world.which_children(), oracle.which_children());
        judge(
            &world,
            failed.as_ref().map(|(key, exit)| (*key, exit)),
            &deeds,
            now,
        );
    }
    if !world.over {
        let deeds = world.step(Event::Shutdown, now);
        oracle.terminate(false);
        assert_eq!(deeds, oracle.trace);
    }
}

fn pick(alive: &BTreeMap<u64, u64>, who: Index) -> Option<(u64, u64)> {
    if alive.is_empty() {
        None
    } else {
        alive.iter().nth(who.index(alive.len())).map(|(k, i)| (*k, *i))
    }
}

fn touched(deed: &Deed) -> Vec<u64> {
    match deed {
        Deed::Started { key, .. } | Deed::NotStarted { key, .. } | Deed::TryAgain { key, .. } => vec![*key],
        Deed::Terminated(keys) => keys.clone(),
        Deed::Exited { .. } => vec![],
    }
}

fn is_start(deed: &Deed) -> bool {
    matches!(deed, Deed::Started { .. } | Deed::NotStarted { .. })
}

/// Starts go up, terminations go down, and within a sweep nothing starts before the last termination.
fn judge_order(failed: Option<(u64, &Exit)>, deeds: &[Deed]) {
    let keys = |wanted: fn(&Deed) -> bool| -> Vec<u64> {
        deeds
            .iter()
            .filter(|deed| wanted(deed))
            .flat_map(touched)
            .collect()
    };
    assert!(
        keys(is_start).is_sorted_by(|a, b| a < b),
        "starts out of order: {deeds:?}"
    );
    let ends = keys(|deed| matches!(deed, Deed::Terminated(_)));
    assert!(
        ends.is_sorted_by(|a, b| a > b),
        "terminations out of order: {deeds:?}"
    );
    if failed.is_some() {
        let first_start = deeds.iter().position(is_start).unwrap_or(deeds.len());
        assert!(
            deeds[first_start..]
                .iter()
                .all(|deed| !matches!(deed, Deed::Terminated(_))),
            "{deeds:?}"
        );
    }
}

/// A failure touches only those that the strategy names, unless the supervisor ends with it.
fn judge_reach(world: &World, failed: Option<(u64, &Exit)>, deeds: &[Deed]) {
    let Some((failed, _)) = failed.filter(|_| !world.over) else {
        return;
    };
    for key in deeds.iter().flat_map(touched) {
        match world.rules.strategy {
            Strategy::OneForOne => assert_eq!(key, failed),
            Strategy::RestForOne => assert!(key >= failed),
            Strategy::OneForAll => {}
        }
    }
}

/// A temporary child is started once; its own end starts a transient child only when it was abnormal.
fn judge_restarts(world: &World, failed: Option<(u64, &Exit)>, deeds: &[Deed]) {
    if let Some((failed, exit)) = failed {
        let started = deeds
            .iter()
            .any(|deed| is_start(deed) && touched(deed) == [failed]);
        match world.restarts[&failed] {
            Restart::Permanent => {}
            Restart::Transient => assert!(!started || exit.is_abnormal()),
            Restart::Temporary => assert!(!started),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_policy_does_what_otp_does(
        rules in rules(),
        children in prop::collection::vec(child(), 0..6),
        script in prop::collection::vec(line(), 0..40),
    ) {
        let mut sweeps: Vec<Instant> = Vec::new();
        play(rules, &children, script, |world, failed, deeds, now| {
            judge_order(failed, deeds);
            judge_reach(world, failed, deeds);
            judge_restarts(world, failed, deeds);
            let Intensity { max, within } = rules.intensity;
            let gave_up = deeds.contains(&Deed::Exited { gave_up: true });
            if failed.is_some() && (gave_up || deeds.iter().any(is_start)) {
                sweeps.push(now);
            }
            let recent = sweeps.iter().filter(|at| now - **at <= within).count();
            if gave_up {
                assert!(recent > max as usize, "gave up too early");
            } else {
                assert!(recent <= max as usize, "gave up too late");
            }
        });
    }

    #[test]
    fn no_sequence_of_events_panics(
        rules in rules(),
        children in prop::collection::vec(child(), 0..4),
        events in prop::collection::vec((0u8..9, 0u64..6, 0u64..4, exit()), 0..60),
    ) {
        let mut policy = Policy::new(rules);
        for (restart, significant) in children {
            policy.add(ChildRules { id: "x".into(), restart, significant });
        }
        let now = Instant::now();
        for (what, key, incarnation, exit) in events {
            let key = ChildKey(key);
            let event = match what {
                0 => Event::Init,
                1 => Event::Spawn(key),
                2 => Event::End(key),
                3 => Event::Exited { key, incarnation, exit },
                4 => Event::Retry { key, incarnation },
                5 => Event::Started,
                6 => Event::StartFailed("no luck".to_owned()),
                7 => Event::Terminated,
                _ => Event::Shutdown,
            };
            policy.step(event, now);
        }
    }
}

const RULES: Rules = Rules {
    strategy: Strategy::OneForOne,
    intensity: Intensity {
        max: 2,
        within: Duration::from_secs(5),
    },
    auto_shutdown: AutoShutdown::Never,
    dynamic: false,
};

/// Crashes the only child at these seconds and returns whether the supervisor still stands after each.
fn stands(crashes: &[u64]) -> Vec<bool> {
    let mut world = World::new(RULES, &[(Restart::Permanent, false)]);
    let begin = Instant::now();
    world.step(Event::Init, begin);
    let crash = |second: &u64| {
        let Some((key, incarnation)) = world.alive.pop_first() else {
            return false;
        };
        let exit = Exit::Crashed("boom".to_owned());
        world.step(
            Event::Exited {
                key: ChildKey(key),
                incarnation,
                exit,
            },
            begin + Duration::from_secs(*second),
        );
        !world.over
    };
    crashes.iter().map(crash).collect()
}

#[test]
fn as_many_restarts_as_allowed_are_done_and_the_next_failure_is_fatal() {
    assert_eq!(stands(&[0, 0, 0]), [true, true, false]);
}

#[test]
fn a_restart_counts_until_the_window_has_passed_and_not_longer() {
    assert_eq!(stands(&[0, 1, 5]), [true, true, false]);
    assert_eq!(stands(&[0, 1, 6, 7]), [true, true, true, true]);
}

#[test]
fn the_last_words_say_which_child_why_and_how_often() {
    let mut policy = Policy::new(Rules {
        intensity: Intensity {
            max: 0,
            ..RULES.intensity
        },
        ..RULES
    });
    let key = policy.add(ChildRules {
        id: "db".into(),
        restart: Restart::Permanent,
        significant: false,
    });
    let now = Instant::now();
    policy.step(Event::Init, now);
    policy.step(Event::Started, now);
    let exit = Exit::Crashed("boom".to_owned());
    let words = "child \"db\" crashed: boom; failure 1 within 5s, 0 allowed".to_owned();
    let action = policy.step(
        Event::Exited {
            key,
            incarnation: 1,
            exit,
        },
        now,
    );
    assert_eq!(action, Action::Exit(Exit::GaveUp(words)));
}

#[test]
fn nothing_is_decided_while_an_action_is_unconfirmed() {
    let mut policy = Policy::new(RULES);
    let key = policy.add(ChildRules {
        id: "a".into(),
        restart: Restart::Permanent,
        significant: false,
    });
    let now = Instant::now();
    assert_eq!(
        policy.step(Event::Init, now),
        Action::Start { key, incarnation: 1 }
    );
    assert_eq!(policy.step(Event::Shutdown, now), Action::Rest);
    assert_eq!(policy.step(Event::Started, now), Action::Rest);
    assert_eq!(policy.step(Event::Shutdown, now), Action::Terminate(vec![key]));
}

#[test]
fn a_retry_of_an_earlier_attempt_is_ignored() {
    let rules = Rules {
        strategy: Strategy::OneForAll,
        ..RULES
    };
    let mut world = World::new(rules, &[(Restart::Permanent, false), (Restart::Permanent, false)]);
    let crash = |key, incarnation| Event::Exited {
        key: ChildKey(key),
        incarnation,
        exit: Exit::Killed,
    };
    let (begin, later) = (Instant::now(), Instant::now() + 10 * RULES.intensity.within);
    world.step(Event::Init, begin);
    // The restart of 2 fails, a crash of 1 brings it back, it crashes, and its restart fails again.
    world.luck = [true, false, true, true, true, false].into();
    world.alive.remove(&2);
    world.step(crash(2, 1), begin);
    world.alive.remove(&1);
    world.step(crash(1, 2), begin);
    world.alive.remove(&2);
    world.step(crash(2, 3), later);
    assert_eq!(world.retries, [(2, 2), (2, 4)]);
    assert_eq!(
        world.step(
            Event::Retry {
                key: ChildKey(2),
                incarnation: 2
            },
            later
        ),
        []
    );
    assert_eq!(
        world
            .step(
                Event::Retry {
                    key: ChildKey(2),
                    incarnation: 4
                },
                later
            )
            .len(),
        3
    );
}
