//! The runs of the model.

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model as _};

use crate::bounds::Bounds;
use crate::model::{Action, PoolModel};
use crate::mutation::Mutation;
use crate::promises::Promise;
use crate::witness::WITNESSES;

/// As many as the machine that runs the tests has at least.
const THREADS: usize = 2;

/// Explores the bounds; panics with the steps that led there when a promise is broken.
fn check(name: &str, bounds: Bounds) {
    let started = Instant::now();
    let model = PoolModel {
        bounds: bounds.clone(),
        mutation: None,
    };
    let mut checker = model.checker().threads(THREADS);
    if let Some(depth) = bounds.depth {
        checker = checker.target_max_depth(depth);
    }
    if let Some(count) = bounds.generated {
        checker = checker.target_state_count(count);
    }
    let checker = checker
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "{name}: {} unique states, {} generated, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64()
    );
    for (promise, path) in checker.discoveries() {
        panic!("{promise} is broken by: {:#?}", path.into_actions());
    }
}

/// Explores with a guard missing; returns the steps that break the promise.
fn counterexample(mutation: Mutation, promise: Promise) -> Vec<Action> {
    let started = Instant::now();
    let model = PoolModel {
        bounds: Bounds::small(),
        mutation: Some(mutation),
    };
    let checker = model
        .checker()
        .threads(THREADS)
        .target_max_depth(14)
        .finish_when(HasDiscoveries::AnyOf(BTreeSet::from([promise.as_str()])))
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    let path = checker
        .discovery(promise.as_str())
        .unwrap_or_else(|| panic!("{mutation:?} goes unnoticed in {states} states"));
    let actions = path.into_actions();
    println!(
        "{mutation:?} breaks `{}` in {} steps ({states} unique states, {:.1} s)",
        promise.as_str(),
        actions.len(),
        started.elapsed().as_secs_f64()
    );
    actions
}

#[test]
fn the_model_keeps_every_promise() {
    match std::env::var("HIVEFORGE_MODEL").as_deref() {
        Ok("nightly") => {
            check("one job, nightly", Bounds::nightly());
            check("two jobs, nightly", Bounds::nightly_pair());
        }
        _ => {
            check("one job", Bounds::small());
            check("two jobs", Bounds::small_pair());
        }
    }
}

#[test]
fn the_model_reaches_everything_good() {
    let started = Instant::now();
    let model = PoolModel {
        bounds: Bounds {
            witnesses: true,
            ..Bounds::small()
        },
        mutation: None,
    };
    let checker = model
        .checker()
        .threads(THREADS)
        .finish_when(HasDiscoveries::AllOf(WITNESSES.into()))
        .spawn_bfs()
        .join();
    for witness in WITNESSES {
        let path = checker.discovery(witness).expect(witness);
        println!("{witness} after {} steps", path.into_actions().len());
    }
    println!(
        "{} unique states, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64()
    );
}

#[test]
fn the_model_notices_a_forged_attempt() {
    counterexample(Mutation::ForgedAttempt, Promise::LiveLeaseOnly);
}

#[test]
fn the_model_notices_a_reaper_that_ignores_renewals() {
    counterexample(
        Mutation::ReaperIgnoresRenewals,
        Promise::LeasesEndByTakingOrByTheirOwn,
    );
}

#[test]
fn the_model_notices_a_claim_that_ignores_its_hold() {
    counterexample(Mutation::ClaimIgnoresHold, Promise::EverythingInItsPlace);
}

#[test]
fn the_model_notices_a_reaper_without_grace() {
    counterexample(Mutation::NoGrace, Promise::GraceBeforeTaking);
}

#[test]
fn the_model_notices_a_finish_that_ignores_the_version() {
    counterexample(Mutation::FinishIgnoresVersion, Promise::LiveLeaseOnly);
}
