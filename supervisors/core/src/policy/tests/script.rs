//! Random scripts, and a stage to play them on: the policy beside the oracle.
//!
//! A script speaks of children by an index into those that are alive, or by one of a few ids, so that every line means
//! something in most states. Lines that mean nothing all the same are skipped.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::{Just, any, prop, prop_oneof};
use proptest::sample::Index;
use proptest::strategy::Strategy as Generate;

use super::model::{self, End, Refusal};
use super::world::{Deed, Retry, Trace, World, model_child, model_supervisor};
use super::{AutoShutdown, Backoff, ChildKey, ChildRules, Event, Intensity, Restart, Rules, Strategy};
use crate::{ChildError, Exit};

/// One line of a random script.
#[derive(Clone, Debug)]
pub(super) enum Line {
    Exit(Index, Exit),
    /// The end of an earlier life, reported late.
    StaleExit(Index),
    /// Something that nobody waits for.
    Unfit(Event),
    /// A `try_again` of an earlier life.
    StaleRetry(Index),
    /// Time passes until the next `try_again` is due.
    Retry,
    BadLuck(Vec<bool>),
    Wait(u64),
    StartChild(ChildRules),
    TerminateChild(String),
    RestartChild(String),
    DeleteChild(String),
    /// By pid: for dynamic children only.
    TerminateDynamic(Index),
}

fn restart() -> impl Generate<Value = Restart> {
    prop_oneof![
        3 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary)
    ]
}

fn id() -> impl Generate<Value = String> {
    (0u8..8).prop_map(|n| format!("c{n}"))
}

fn backoff() -> impl Generate<Value = Backoff> {
    (1u64..3, 1u32..5, 0u64..6).prop_map(|(base, times, reset_after)| Backoff {
        base: Duration::from_secs(base),
        max: Duration::from_secs(base) * times,
        reset_after: Duration::from_secs(reset_after),
    })
}

fn child() -> impl Generate<Value = ChildRules> {
    (
        id(),
        restart(),
        any::<bool>(),
        prop::option::weighted(0.3, backoff()),
    )
        .prop_map(|(id, restart, significant, backoff)| ChildRules {
            id: id.into(),
            restart,
            significant: significant && restart != Restart::Permanent,
            backoff,
        })
}

/// Children with ids of their own.
pub(super) fn children() -> impl Generate<Value = Vec<ChildRules>> {
    prop::collection::vec(child(), 0..6).prop_map(|mut children| {
        for (at, child) in children.iter_mut().enumerate() {
            child.id = format!("c{at}").into();
        }
        children
    })
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

fn unfit() -> impl Generate<Value = Event> {
    prop_oneof![
        Just(Event::Started),
        Just(Event::StartFailed("no luck".to_owned())),
        Just(Event::Terminated)
    ]
}

pub(super) fn line() -> impl Generate<Value = Line> {
    prop_oneof![
        8 => (any::<Index>(), exit()).prop_map(|(who, exit)| Line::Exit(who, exit)),
        1 => any::<Index>().prop_map(Line::StaleExit),
        1 => unfit().prop_map(Line::Unfit),
        1 => any::<Index>().prop_map(Line::StaleRetry),
        4 => Just(Line::Retry),
        2 => prop::collection::vec(any::<bool>(), 1..4).prop_map(Line::BadLuck),
        4 => (0u64..4).prop_map(Line::Wait),
        2 => child().prop_map(Line::StartChild),
        2 => id().prop_map(Line::TerminateChild),
        2 => id().prop_map(Line::RestartChild),
        1 => id().prop_map(Line::DeleteChild),
        1 => any::<Index>().prop_map(Line::TerminateDynamic),
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

/// What made the supervisor act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Init,
    Failure {
        key: u64,
        exit: Exit,
    },
    /// A failed restart is tried again, which is a failure of its own.
    FailedRestart {
        key: u64,
    },
    /// A restart that was counted before begins.
    Resumed {
        key: u64,
    },
    Request,
    Nothing,
}

/// What one line did.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) cause: Cause,
    pub(super) deeds: Vec<Deed>,
    pub(super) now: Duration,
}

/// Policy and oracle, before the same audience.
pub(super) struct Stage {
    pub(super) world: World,
    oracle: model::Supervisor,
    trace: Trace,
    now: Duration,
    n_keys: u64,
}

impl Stage {
    pub(super) fn new(rules: Rules, children: Vec<ChildRules>) -> Self {
        let children = if rules.dynamic { Vec::new() } else { children };
        let n_keys = children.len() as u64;
        let world = World::new(rules, children);
        let oracle = model_supervisor(rules, &world.specs);
        let (trace, now) = (Trace::default(), Duration::ZERO);
        Self {
            world,
            oracle,
            trace,
            now,
            n_keys,
        }
    }

    pub(super) fn open(&mut self) -> Played {
        self.oracle.init(&mut self.trace);
        self.act(Cause::Init, Event::Init)
    }

    /// Lets a waiting restart have its way, with luck; returns nothing if none waits.
    pub(super) fn settle(&mut self) -> Option<Played> {
        (self.world.luck, self.trace.luck) = Default::default();
        (!self.world.over).then(|| self.on_retry())?
    }

    pub(super) fn close(&mut self) {
        if !self.world.over {
            self.oracle.stop(End::Asked, &mut self.trace);
            self.act(Cause::Request, Event::Shutdown);
        }
    }

    /// Plays one line; returns nothing if it means nothing.
    pub(super) fn play(&mut self, line: Line) -> Option<Played> {
        match line {
            Line::Exit(who, exit) => self.on_exit(who, exit),
            Line::StaleExit(who) => {
                let (key, incarnation) = pick(&self.world.alive, who)?;
                let event = Event::Exited {
                    key: ChildKey(key),
                    incarnation: incarnation - 1,
                    exit: Exit::Killed,
                };
                Some(self.act(Cause::Nothing, event))
            }
            Line::Unfit(event) => Some(self.act(Cause::Nothing, event)),
            Line::StaleRetry(who) => {
                let retries = &self.world.retries;
                let retry = (!retries.is_empty()).then(|| retries[who.index(retries.len())])?;
                let event = Event::Retry {
                    key: ChildKey(retry.key),
                    incarnation: retry.incarnation - 1,
                };
                Some(self.act(Cause::Nothing, event))
            }
            Line::Retry => self.on_retry(),
            Line::BadLuck(luck) => {
                (self.world.luck, self.trace.luck) = (luck.clone().into(), luck.into());
                None
            }
            Line::Wait(seconds) => {
                self.now += Duration::from_secs(seconds);
                None
            }
            Line::StartChild(child) => self.start_child(child),
            Line::TerminateDynamic(who) => {
                let (key, _) = pick(&self.world.alive, who).filter(|_| self.world.rules.dynamic)?;
                self.oracle.terminate_dynamic(key, &mut self.trace);
                Some(self.act(Cause::Request, Event::End(ChildKey(key))))
            }
            Line::TerminateChild(_) | Line::RestartChild(_) | Line::DeleteChild(_)
                if self.world.rules.dynamic =>
            {
                None
            }
            Line::TerminateChild(id) => {
                let expected = self.oracle.terminate_child(&id, &mut self.trace);
                let asked = self.world.policy.find(&id);
                self.on_request(&id, asked, expected, Event::End)
            }
            Line::RestartChild(id) => {
                self.trace.now = self.now;
                let expected = self.oracle.restart_child(&id, &mut self.trace);
                let asked = self.world.policy.idle(&id);
                self.on_request(&id, asked, expected, Event::Revive)
            }
            Line::DeleteChild(id) => {
                let expected = self.oracle.delete_child(&id);
                let deleted = self.world.policy.delete(&id);
                assert_eq!(
                    self.world.policy.take_forgotten().len(),
                    usize::from(deleted.is_ok())
                );
                assert_eq!(deleted, expected.map_err(|refusal| error(refusal, &id)));
                Some(self.act(Cause::Nothing, Event::Terminated))
            }
        }
    }

    fn start_child(&mut self, mut child: ChildRules) -> Option<Played> {
        child.significant &= self.world.rules.auto_shutdown != AutoShutdown::Never;
        if self.world.rules.dynamic {
            child.id = format!("d{}", self.n_keys).into();
        }
        self.trace.now = self.now;
        let key = self.n_keys + 1;
        let expected = self.oracle.start_child(model_child(key, &child), &mut self.trace);
        let there = self.world.policy.find(&child.id).is_ok();
        assert_eq!(there, expected == Err(Refusal::AlreadyThere));
        if there {
            return None;
        }
        assert_eq!(self.world.add(child), key);
        self.n_keys = key;
        Some(self.act(Cause::Request, Event::Spawn(ChildKey(key))))
    }

    /// A request about one child: refused by both in the same words, or done by both.
    fn on_request(
        &mut self,
        id: &str,
        asked: Result<ChildKey, ChildError>,
        expected: Result<(), Refusal>,
        event: fn(ChildKey) -> Event,
    ) -> Option<Played> {
        match (asked, expected) {
            (Ok(key), Ok(()) | Err(Refusal::NotStarted)) => Some(self.act(Cause::Request, event(key))),
            (asked, expected) => {
                assert_eq!(asked.map(|_| ()), expected.map_err(|refusal| error(refusal, id)));
                None
            }
        }
    }

    fn on_exit(&mut self, who: Index, exit: Exit) -> Option<Played> {
        let (key, incarnation) = pick(&self.world.alive, who)?;
        self.world.alive.remove(&key);
        self.trace.now = self.now;
        self.oracle.handle_exit(key, incarnation, &exit, &mut self.trace);
        let event = Event::Exited {
            key: ChildKey(key),
            incarnation,
            exit: exit.clone(),
        };
        Some(self.act(Cause::Failure { key, exit }, event))
    }

    /// Delivers the `try_again` that is due first; time passes until then.
    fn on_retry(&mut self) -> Option<Played> {
        let retries = self.world.retries.iter().enumerate();
        let (at, _) = retries.min_by_key(|(_, retry)| retry.due)?;
        let Retry {
            due,
            key,
            incarnation,
        } = self.world.retries.remove(at);
        self.now = self.now.max(due);
        self.trace.now = self.now;
        let pid = self.oracle.children.iter().find(|child| child.key == key);
        let pid = pid
            .filter(|child| child.incarnation == incarnation)
            .map(|child| child.pid);
        let cause = match pid {
            Some(model::Pid::Restarting) => Cause::FailedRestart { key },
            Some(model::Pid::Delayed) => Cause::Resumed { key },
            _ => Cause::Nothing,
        };
        self.oracle.try_again_restart(key, incarnation, &mut self.trace);
        let event = Event::Retry {
            key: ChildKey(key),
            incarnation,
        };
        Some(self.act(cause, event))
    }

    /// Lets the policy act, and holds it against what the oracle has just done: the deeds, and the children (I11).
    fn act(&mut self, cause: Cause, event: Event) -> Played {
        let deeds = self.world.step(event, self.now);
        let mut expected = std::mem::take(&mut self.trace.deeds);
        if let Some(end) = self.oracle.end {
            let gave_up = end == End::Intensity;
            expected.push(Deed::Exited { gave_up });
        }
        assert_eq!(deeds, expected);
        if !self.world.over {
            assert_eq!(self.world.which_children(), self.oracle.which_children(), "I11");
        }
        Played {
            cause,
            deeds,
            now: self.now,
        }
    }
}

fn error(refusal: Refusal, id: &str) -> ChildError {
    let id = id.to_owned();
    match refusal {
        Refusal::NotFound => ChildError::NotFound { id },
        Refusal::Running => ChildError::Running { id },
        Refusal::Restarting => ChildError::Restarting { id },
        Refusal::AlreadyThere => ChildError::Exists { id },
        Refusal::NotStarted => unreachable!("a start that fails is not refused"),
    }
}

fn pick(alive: &BTreeMap<u64, u64>, who: Index) -> Option<(u64, u64)> {
    if alive.is_empty() {
        None
    } else {
        alive.iter().nth(who.index(alive.len())).map(|(k, i)| (*k, *i))
    }
}
