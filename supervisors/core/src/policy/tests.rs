//! The policy under test.
//!
//! Random scripts are played against the policy and the oracle in `model`, which must do the same, and every line is
//! held against the invariants of supervision. Below them are single rules by example. Proptest prints the script that
//! failed.

mod invariants;
mod model;
mod script;
mod world;

use std::time::{Duration, Instant};

use proptest::prelude::{ProptestConfig, prop, proptest};

use self::invariants::judge;
use self::script::{Line, Stage};
use self::world::World;
use super::{Action, ChildKey, ChildRules, Event, Policy, Rules};
use crate::Exit;
use crate::spec::{AutoShutdown, Intensity, Restart, Strategy};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_policy_does_what_otp_does(
        rules in script::rules(),
        children in prop::collection::vec(script::child(), 0..6),
        lines in prop::collection::vec(script::line(), 0..40),
    ) {
        let mut stage = Stage::new(rules, &children);
        let mut sweeps = Vec::new();
        let mut lines = lines.into_iter().peekable();
        // Bad luck may come before the first start.
        if let Some(luck) = lines.next_if(|line| matches!(line, Line::BadLuck(_))) {
            stage.play(luck);
        }
        let opened = stage.open();
        judge(&stage.world, &opened, &mut sweeps);
        for line in lines {
            if stage.world.over {
                break;
            }
            if let Some(played) = stage.play(line) {
                judge(&stage.world, &played, &mut sweeps);
            }
        }
        stage.close();
    }

    #[test]
    fn no_sequence_of_events_panics(
        rules in script::rules(),
        children in prop::collection::vec(script::child(), 0..4),
        events in prop::collection::vec((0u8..9, 0u64..6, 0u64..4, script::exit()), 0..60),
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
