//! The runs of the model.

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::bounds::Bounds;
use crate::model::PoolModel;
use crate::mutation::Mutation;
use crate::promises::Promise;
use crate::witness::WITNESSES;

/// Everything good happens within so many steps.
const WITNESS_DEPTH_MAX: usize = 14;
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
    if let Some((promise, path)) = checker.discoveries().into_iter().next() {
        panic!("{promise} is broken by: {:#?}", path.into_actions());
    }
}

/// Explores bounds that the unchanged code is checked within, with a guard missing; panics if nothing is noticed.
fn notices(mutation: Mutation, promise: Promise, bounds: Bounds) {
    let started = Instant::now();
    let model = PoolModel {
        bounds: bounds.clone(),
        mutation: Some(mutation),
    };
    let checker = model
        .checker()
        .threads(THREADS)
        .target_max_depth(bounds.depth.expect("these bounds have a depth"))
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
}

#[test]
fn the_model_keeps_every_promise() {
    match std::env::var("HIVEFORGE_MODEL").as_deref() {
        Ok("nightly") => {
            let leases = Bounds::leases();
            check(
                "one job, leases, all states",
                Bounds {
                    depth: None,
                    ..leases
                },
            );
            check("one job, every fault, nightly", Bounds::nightly());
            check("two jobs, every fault, nightly", Bounds::nightly_pair());
        }
        _ => {
            check("one job, every fault", Bounds::faults());
            check("one job, leases", Bounds::leases());
            check("one job, requests", Bounds::requests());
            check("two jobs", Bounds::pair());
        }
    }
}

#[test]
fn the_model_reaches_everything_good() {
    let started = Instant::now();
    let model = PoolModel {
        bounds: Bounds {
            witnesses: true,
            give_backs: 0,
            ..Bounds::requests()
        },
        mutation: None,
    };
    let checker = model
        .checker()
        .threads(THREADS)
        .target_max_depth(WITNESS_DEPTH_MAX)
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
    notices(
        Mutation::ForgedAttempt,
        Promise::LiveLeaseOnly,
        Bounds::requests(),
    );
}

#[test]
fn the_model_notices_a_reaper_that_ignores_renewals() {
    notices(
        Mutation::ReaperIgnoresRenewals,
        Promise::LeasesEndByTakingOrByTheirOwn,
        Bounds::leases(),
    );
}

#[test]
fn the_model_notices_a_claim_that_ignores_its_hold() {
    notices(
        Mutation::ClaimIgnoresHold,
        Promise::EverythingInItsPlace,
        Bounds::leases(),
    );
}

#[test]
fn the_model_notices_a_reaper_without_grace() {
    notices(Mutation::NoGrace, Promise::GraceBeforeTaking, Bounds::leases());
}

#[test]
fn the_model_notices_a_renewal_that_ignores_others() {
    notices(
        Mutation::RenewalIgnoresOthers,
        Promise::UnfrozenOnce,
        Bounds::leases(),
    );
}

#[test]
fn the_model_notices_a_finish_that_ignores_the_version() {
    notices(
        Mutation::FinishIgnoresVersion,
        Promise::LiveLeaseOnly,
        Bounds::leases(),
    );
}

#[test]
fn the_model_notices_a_give_back_that_ignores_the_telling() {
    notices(
        Mutation::GiveBackIgnoresTelling,
        Promise::LeasesEndByTakingOrByTheirOwn,
        Bounds {
            depth: Some(9),
            ..Bounds::faults()
        },
    );
}
