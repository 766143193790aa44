//! Random scripts, and a stage to play them on: the policy beside the oracle.
//!
//! A script speaks of children by an index into those that are alive, so that every line means something in every
//! state. Lines that mean nothing all the same are skipped.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::{Just, any, prop, prop_oneof};
use proptest::sample::Index;
use proptest::strategy::Strategy as Generate;

use super::model::{self, Deed};
use super::world::World;
use crate::Exit;
use crate::policy::{ChildKey, Event, Rules};
use crate::spec::{AutoShutdown, Intensity, Restart, Strategy};

/// One line of a random script. Children are chosen by an index into those that are alive.
#[derive(Clone, Debug)]
pub(super) enum Line {
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

pub(super) fn child() -> impl Generate<Value = (Restart, bool)> {
    (restart(), any::<bool>())
        .prop_map(|(restart, significant)| (restart, significant && restart != Restart::Permanent))
}

pub(super) fn exit() -> impl Generate<Value = Exit> {
    prop_oneof![
        3 => Just(Exit::Crashed("boom".to_owned())),
        1 => Just(Exit::Killed),
        1 => Just(Exit::Normal),
        1 => Just(Exit::Shutdown),
        1 => Just(Exit::GaveUp("child".to_owned())),
    ]
}

pub(super) fn line() -> impl Generate<Value = Line> {
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

pub(super) fn rules() -> impl Generate<Value = Rules> {
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

/// What one line did, and which child's failure it was.
pub(super) struct Played {
    pub(super) failed: Option<(u64, Exit)>,
    pub(super) deeds: Vec<Deed>,
    pub(super) now: Instant,
}

/// Policy and oracle, before the same audience.
pub(super) struct Stage {
    pub(super) world: World,
    oracle: model::Supervisor,
    now: Instant,
}

impl Stage {
    pub(super) fn new(rules: Rules, children: &[(Restart, bool)]) -> Self {
        let children: &[_] = if rules.dynamic { &[] } else { children };
        let world = World::new(rules, children);
        let oracle = world.oracle(children);
        Self {
            world,
            oracle,
            now: Instant::now(),
        }
    }

    pub(super) fn open(&mut self) -> Played {
        self.oracle.init();
        self.act(None, Event::Init)
    }

    pub(super) fn close(&mut self) {
        if !self.world.over {
            self.oracle.terminate(false);
            self.act(None, Event::Shutdown);
        }
    }

    /// Plays one line; returns nothing if it changed no child.
    pub(super) fn play(&mut self, line: Line) -> Option<Played> {
        match line {
            Line::Exit(who, exit) => self.on_exit(who, exit),
            Line::StaleExit(who) => {
                let (key, incarnation) = pick(&self.world.alive, who)?;
                let (key, incarnation, exit) = (ChildKey(key), incarnation - 1, Exit::Killed);
                Some(self.act(
                    None,
                    Event::Exited {
                        key,
                        incarnation,
                        exit,
                    },
                ))
            }
            Line::Retry => self.on_retry(),
            Line::BadLuck(luck) => {
                (self.world.luck, self.oracle.luck) = (luck.clone().into(), luck.into());
                None
            }
            Line::Wait(seconds) => {
                self.now += Duration::from_secs(seconds);
                None
            }
            Line::Spawn(restart) => {
                let key = self.world.rules.dynamic.then(|| self.world.add(restart, false))?;
                self.oracle.start_child(key, restart);
                Some(self.act(None, Event::Spawn(ChildKey(key))))
            }
            Line::End(who) => {
                let (key, _) = pick(&self.world.alive, who)?;
                self.oracle.terminate_child(key);
                Some(self.act(None, Event::End(ChildKey(key))))
            }
        }
    }

    fn on_exit(&mut self, who: Index, exit: Exit) -> Option<Played> {
        let (key, incarnation) = pick(&self.world.alive, who)?;
        self.world.alive.remove(&key);
        self.oracle.handle_exit(key, incarnation, &exit, self.now);
        let failed = Some((key, exit.clone()));
        Some(self.act(
            failed,
            Event::Exited {
                key: ChildKey(key),
                incarnation,
                exit,
            },
        ))
    }

    fn on_retry(&mut self) -> Option<Played> {
        let (key, incarnation) = self.world.retries.pop_front()?;
        self.oracle.try_again_restart(key, incarnation, self.now);
        Some(self.act(
            Some((key, Exit::Killed)),
            Event::Retry {
                key: ChildKey(key),
                incarnation,
            },
        ))
    }

    /// Lets the policy act, and holds it against what the oracle has just done.
    fn act(&mut self, failed: Option<(u64, Exit)>, event: Event) -> Played {
        let deeds = self.world.step(event, self.now);
        assert_eq!(deeds, std::mem::take(&mut self.oracle.trace));
        if !self.world.over {
            assert_eq!(self.world.which_children(), self.oracle.which_children());
        }
        Played {
            failed,
            deeds,
            now: self.now,
        }
    }
}

fn pick(alive: &BTreeMap<u64, u64>, who: Index) -> Option<(u64, u64)> {
    if alive.is_empty() {
        None
    } else {
        alive.iter().nth(who.index(alive.len())).map(|(k, i)| (*k, *i))
    }
}
