//! Single rules by example, where the numbers matter or the words do.

use std::time::{Duration, Instant};

use super::world::{Deed, World};
use super::{
    Action, AutoShutdown, Backoff, ChildKey, ChildRules, Event, Intensity, Policy, Restart, Rules, Strategy,
};
use crate::Exit;

const RULES: Rules = Rules {
    strategy: Strategy::OneForOne,
    intensity: Intensity {
        max: 2,
        within: Duration::from_secs(5),
    },
    auto_shutdown: AutoShutdown::Never,
    dynamic: false,
};

fn child(id: &str) -> ChildRules {
    ChildRules {
        id: id.into(),
        restart: Restart::Permanent,
        significant: false,
        backoff: None,
    }
}

fn crashed(key: u64, incarnation: u64) -> Event {
    Event::Exited {
        key: ChildKey(key),
        incarnation,
        exit: Exit::Crashed("boom".to_owned()),
    }
}

/// Crashes the only child at these seconds and returns whether the supervisor still stands after each.
fn stands(crashes: &[u64]) -> Vec<bool> {
    let mut world = World::new(RULES, vec![child("a")]);
    world.step(Event::Init, Duration::ZERO);
    let crash = |second: &u64| {
        let Some((key, incarnation)) = world.alive.pop_first() else {
            return false;
        };
        world.step(crashed(key, incarnation), Duration::from_secs(*second));
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
    let key = policy.add(child("db"));
    let now = Instant::now();
    policy.step(Event::Init, now);
    policy.step(Event::Started, now);
    let words = "child \"db\" crashed: boom; failure 1 within 5s, 0 allowed".to_owned();
    let action = policy.step(crashed(key.0, 1), now);
    assert_eq!(action, Action::Exit(Exit::GaveUp(words)));
}

#[test]
fn nothing_is_decided_while_an_action_is_unconfirmed() {
    let mut policy = Policy::new(RULES);
    let key = policy.add(child("a"));
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
    let mut world = World::new(rules, vec![child("a"), child("b")]);
    let (begin, later) = (Duration::ZERO, 10 * RULES.intensity.within);
    world.step(Event::Init, begin);
    // The restart of 2 fails, a crash of 1 brings it back, it crashes, and its restart fails again.
    world.luck = [true, false, true, true, true, false].into();
    world.alive.remove(&2);
    world.step(crashed(2, 1), begin);
    world.alive.remove(&1);
    world.step(crashed(1, 2), begin);
    world.alive.remove(&2);
    world.step(crashed(2, 3), later);
    let retries: Vec<_> = world
        .retries
        .iter()
        .map(|retry| (retry.key, retry.incarnation))
        .collect();
    assert_eq!(retries, [(2, 2), (2, 4)]);
    let key = ChildKey(2);
    assert_eq!(world.step(Event::Retry { key, incarnation: 2 }, later), []);
    assert_eq!(world.step(Event::Retry { key, incarnation: 4 }, later).len(), 3);
}

const BACKOFF: Backoff = Backoff {
    base: Duration::from_secs(1),
    max: Duration::from_secs(5),
    reset_after: Duration::from_secs(10),
};

#[test]
fn the_delay_doubles_up_to_the_maximum_until_a_life_has_lasted() {
    let rules = Rules {
        intensity: Intensity {
            max: 100,
            ..RULES.intensity
        },
        ..RULES
    };
    let slow = ChildRules {
        backoff: Some(BACKOFF),
        ..child("a")
    };
    let mut world = World::new(rules, vec![slow]);
    let mut now = Duration::ZERO;
    world.step(Event::Init, now);
    let mut delays = Vec::new();
    // Each life is so many milliseconds long.
    for life in [0, 0, 0, 0, 9_999, 10_000, 0] {
        now += Duration::from_millis(life);
        let (key, incarnation) = world.alive.pop_first().expect("it is up again");
        let deeds = world.step(crashed(key, incarnation), now);
        let [Deed::TryAgain { after, .. }] = deeds[..] else {
            panic!("{deeds:?}");
        };
        delays.push(after.as_secs());
        now += after;
        let key = ChildKey(key);
        world.step(Event::Retry { key, incarnation }, now);
    }
    assert_eq!(delays, [1, 2, 4, 5, 5, 1, 2]);
}

#[test]
fn the_end_of_the_last_significant_child_counts_and_those_that_come_back_do_not() {
    let rules = Rules {
        auto_shutdown: AutoShutdown::AllSignificant,
        ..RULES
    };
    let significant = |id, backoff| ChildRules {
        restart: Restart::Transient,
        significant: true,
        backoff,
        ..child(id)
    };
    let mut world = World::new(
        rules,
        vec![significant("a", None), significant("b", Some(BACKOFF))],
    );
    let now = Duration::ZERO;
    world.step(Event::Init, now);
    world.alive.clear();
    // It waits for its backoff, so the other is not the last.
    world.step(crashed(2, 1), now);
    let left = |key, incarnation| Event::Exited {
        key: ChildKey(key),
        incarnation,
        exit: Exit::Normal,
    };
    assert_eq!(world.step(left(1, 1), now), []);
    let (key, incarnation) = (ChildKey(2), 1);
    world.step(Event::Retry { key, incarnation }, BACKOFF.base);
    world.alive.clear();
    assert_eq!(world.step(left(2, 2), now), [Deed::Exited { gave_up: false }]);
}
