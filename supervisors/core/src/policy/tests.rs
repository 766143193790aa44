//! The policy under test.
//!
//! Random scripts are played against the policy and the oracle in `model`, which must do the same, and every line is
//! held against the invariants of supervision, which are numbered in `invariants`. Single rules by example are in
//! `examples`. Proptest prints the script that failed.

mod examples;
mod invariants;
mod model;
mod script;
mod seed;
mod world;

use std::time::Instant;

use proptest::prelude::{prop, proptest};

use self::invariants::Judge;
use self::script::{Line, Stage};
use super::{Action, ChildKey, ChildRules, Event, Life, Policy, Rules};
use crate::Exit;
use crate::spec::{AutoShutdown, Backoff, Intensity, Restart, Strategy};

proptest! {
    #![proptest_config(seed::cases(1000))]

    #[test]
    fn the_policy_does_what_otp_does(
        rules in script::rules(),
        children in script::children(),
        lines in prop::collection::vec(script::line(), 0..50),
    ) {
        let mut stage = Stage::new(rules, children);
        let mut judge = Judge::default();
        let mut lines = lines.into_iter().peekable();
        // Bad luck may come before the first start.
        if let Some(luck) = lines.next_if(|line| matches!(line, Line::BadLuck(_))) {
            stage.play(luck);
        }
        let opened = stage.open();
        judge.judge(&stage.world, &opened);
        for line in lines {
            if stage.world.over {
                break;
            }
            judge.before(&stage.world, &line);
            if let Some(played) = stage.play(line) {
                judge.judge(&stage.world, &played);
            }
        }
        while let Some(played) = stage.settle() {
            judge.judge(&stage.world, &played);
        }
        judge.judge_liveness(&stage.world);
        stage.close();
    }

    #[test]
    fn no_sequence_of_events_panics(
        rules in script::rules(),
        children in script::children(),
        events in prop::collection::vec((0u8..10, 0u64..6, 0u64..4, script::exit()), 0..60),
    ) {
        // I12.
        let mut policy = Policy::new(rules);
        for child in children {
            policy.add(child);
        }
        let now = Instant::now();
        for (what, key, incarnation, exit) in events {
            let id = format!("c{key}");
            let key = ChildKey(key);
            let event = match what {
                0 => Event::Init,
                1 => Event::Spawn(key),
                2 => Event::Revive(key),
                3 => Event::End(key),
                4 => Event::Exited { key, incarnation, exit },
                5 => Event::Retry { key, incarnation },
                6 => Event::Started,
                7 => Event::StartFailed("no luck".to_owned()),
                8 => Event::Terminated,
                _ if policy.delete(&id).is_ok() => continue,
                _ => Event::Shutdown,
            };
            policy.step(event, now);
        }
    }
}
