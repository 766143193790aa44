//! What the campaign meets by chance, told one at a time: each with real processes, and judged by the same checker.

use std::time::Duration;

use anyhow::{Result, ensure};
use domain::job::StateName;
use hiveforge_tests_nemesis::checker::Violation;
use hiveforge_tests_nemesis::history::{Blow, Hit, Moment, Stretch, Target};
use hiveforge_tests_nemesis::scene::{Cast, Scene, play};
use hiveforge_tests_nemesis::stage::Part;

/// After the story everything ends soon, or never.
const DRAIN: Duration = Duration::from_secs(60);
/// Jobs around a promotion.
const JOBS: usize = 40;

fn is_good(found: Result<Vec<Violation>>) -> Result<()> {
    assert_eq!(found?, [], "the checker finds");
    Ok(())
}

/// All coordinators die at the moment at which one of them has committed a claim, and the agent has not heard of it. The only
/// attempt that the job has is not wasted.
fn a_claim_whose_word_was_lost(scene: &Scene<'_>) -> Result<()> {
    let coordinators = &scene.hive().coordinators;
    for one in coordinators {
        one.kill()?;
        one.start("coordinator::claimed=sleep(600000)")?;
    }
    scene.hive().until_ready()?;
    let job = scene
        .witness
        .submit(&scene.client, "only-one-attempt", &Part::default())?;
    scene.until(&job, "it is claimed", |view| view.state == StateName::Running)?;
    for one in coordinators {
        one.kill()?;
        one.start("")?;
    }
    let view = scene.until(&job, "it ends", |view| view.state.is_terminal())?;
    let seen = (view.state, view.attempt, view.charged);
    ensure!(seen == (StateName::Succeeded, 1, 1), "it ended as {seen:?}");
    scene.witness.drain(DRAIN)
}

/// The primary dies with half of the jobs under way, and its replica, which has confirmed everything, takes its place.
fn a_promotion(scene: &Scene<'_>) -> Result<()> {
    let submit = |nth: usize| {
        let part = Part {
            retries: 1,
            ..Part::lasting(Duration::from_millis(200) * u32::from(nth.is_multiple_of(3)))
        };
        scene
            .witness
            .submit(&scene.client, &format!("promotion-{nth}"), &part)
    };
    for nth in 0..JOBS / 2 {
        submit(nth)?;
    }
    let from = Moment::now();
    scene.hive().promote()?;
    for nth in JOBS / 2..JOBS {
        submit(nth)?;
    }
    scene.witness.note(Hit {
        target: Target::Nexus,
        blow: Blow::Killed,
        stretch: Stretch {
            from,
            to: Moment::now(),
        },
    });
    scene.witness.drain(DRAIN)?;
    scene.witness.probe(2)
}

#[test]
fn a_claim_whose_word_was_lost_costs_no_attempt() -> Result<()> {
    if !servers::redis_or_skip() {
        return Ok(());
    }
    is_good(play(Cast::default(), a_claim_whose_word_was_lost))
}

#[test]
fn a_replica_that_takes_over_has_everything_that_was_acknowledged() -> Result<()> {
    if !servers::redis_or_skip() {
        return Ok(());
    }
    let cast = Cast {
        replica: true,
        ..Cast::default()
    };
    is_good(play(cast, a_promotion))
}
