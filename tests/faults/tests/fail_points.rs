//! The points between a deed and its record, where a crash is most dangerous; see `fail_points` of each crate.
//!
//! Each is met twice: the actor panics there once, and everything that its process consists of is killed when it is there.
//! Where an error can be returned, it is. What breaks at a point is global to a process, so one test at a time has the points.
#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agent::fail_points::{STARTED, UPLOADED};
use anyhow::{Result, ensure};
use coordinator::fail_points::{CLAIMED, FINISHED, SUBMITTED};
use domain::JobId;
use fail::FailScenario;
use hiveforge_tests_faults::evidence;
use hiveforge_tests_faults::nexus::Calls;
use hiveforge_tests_faults::people::People;
use hiveforge_tests_faults::proxy::Route;
use hiveforge_tests_faults::wait::until;
use hiveforge_tests_faults::world::{Plan, World};
use ledger::fail_points::TAKEN;

/// How often a point was met.
#[derive(Clone, Default)]
struct Met(Arc<AtomicUsize>);

impl Met {
    /// Panics at a point, the first time or every time.
    fn panics_at(point: &str, once: bool) -> Self {
        let met = Self::default();
        let counts = met.clone();
        let panics = move || {
            let n_before = counts.0.fetch_add(1, Ordering::Relaxed);
            assert!(once && n_before > 0, "injected panic");
        };
        fail::cfg_callback(point, panics).unwrap();
        met
    }

    fn is_met(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

async fn world() -> Result<(World, People)> {
    let calls = Calls::Commits;
    let handling_max = None;
    let world = World::start(Plan { calls, handling_max }).await?;
    let people = People::of(&world)?;
    Ok((world, people))
}

/// Three jobs, of which two run at once.
async fn submit(world: &World, people: &People) -> Result<()> {
    for _ in 0..3 {
        people.submit(&world.stage.short()?).await?;
    }
    Ok(())
}

/// Waits for the end of all jobs, and fails unless all is in order. The attempts of each job are returned.
async fn end(world: World, people: &People) -> Result<Vec<Vec<u32>>> {
    let jobs = people.jobs();
    people.succeed(&jobs).await?;
    evidence::rest(&world).await?;
    let attempts = |job: &JobId| -> Result<Vec<u32>> {
        Ok(world.stage.ran(job)?.iter().map(|ran| ran.attempt).collect())
    };
    let ran = jobs.iter().map(attempts).collect::<Result<Vec<_>>>()?;
    for (job, ran) in jobs.iter().zip(&ran) {
        let kept = people.check(job, false).await?;
        ensure!(
            kept.last() == ran.last(),
            "{job} ran in attempts {ran:?} of {kept:?}"
        );
    }
    let files = world.end().await?;
    evidence::files(files.path(), jobs.len()).await?;
    Ok(ran)
}

/// The actor or the request panics at the point once. Nobody runs anything twice for it.
fn panics_once_at(point: &str) {
    let scenario = FailScenario::setup();
    run(async {
        let (world, people) = world().await?;
        let met = Met::panics_at(point, true);
        submit(&world, &people).await?;
        let ran = end(world, &people).await?;
        ensure!(met.is_met(), "{point} was not met");
        ensure!(ran.iter().all(|ran| *ran == [1]), "jobs ran in attempts {ran:?}");
        Ok(())
    });
    scenario.teardown();
}

/// The process of the coordinator ends at the point. Nobody runs anything twice for it.
fn coordinator_ends_at(point: &str) {
    let scenario = FailScenario::setup();
    run(async {
        let (world, people) = world().await?;
        let met = Met::panics_at(point, false);
        let spec = world.stage.short()?;
        let submitting = async {
            for _ in 0..3 {
                people.submit(&spec).await?;
            }
            anyhow::Ok(())
        };
        let ending = async {
            until("the point is met", || met.is_met()).await?;
            fail::remove(point);
            world.restart_coordinator().await
        };
        let (world, submitted) = tokio::join!(ending, submitting);
        submitted?;
        let ran = end(world?, &people).await?;
        ensure!(ran.iter().all(|ran| *ran == [1]), "jobs ran in attempts {ran:?}");
        Ok(())
    });
    scenario.teardown();
}

/// The process of the agent ends at the point. What it ran is run again, and what it did not is not.
fn agent_ends_at(point: &str) {
    let scenario = FailScenario::setup();
    run(async {
        let (world, people) = world().await?;
        let met = Met::panics_at(point, false);
        submit(&world, &people).await?;
        until("the point is met", || met.is_met()).await?;
        let world = world
            .restart_agent(|_| {
                fail::remove(point);
                Ok(())
            })
            .await?;
        let ran = end(world, &people).await?;
        // A command that was killed at once may not have said that it ran.
        let good = |ran: &Vec<u32>| [&[1][..], &[2], &[1, 2]].contains(&ran.as_slice());
        ensure!(ran.iter().all(good), "jobs ran in attempts {ran:?}");
        ensure!(
            ran.iter().any(|ran| ran.contains(&2)),
            "the point was not met with a run"
        );
        Ok(())
    });
    scenario.teardown();
}

/// An error comes back from the point once. Returns how long it took and how many requests came by a route.
fn returns_an_error_at(point: &str, route: Route) -> (Duration, usize) {
    let scenario = FailScenario::setup();
    let mut seen = (Duration::ZERO, 0);
    run(async {
        let (world, people) = world().await?;
        fail::cfg(point, "1*return").unwrap();
        let began_at = Instant::now();
        let job = people.submit(&world.stage.short()?).await?;
        people.succeed(&[job]).await?;
        let took = began_at.elapsed();
        // What is repeated is repeated before the agent rests.
        evidence::rest(&world).await?;
        seen = (took, world.proxy.n_requests(route));
        let ran = end(world, &people).await?;
        ensure!(ran == [[1]], "the job ran in attempts {ran:?}");
        Ok(())
    });
    scenario.teardown();
    seen
}

fn run(story: impl Future<Output = Result<()>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(story).unwrap();
}

#[test]
fn an_intake_that_panics_between_a_commit_and_its_word_submits_nothing_twice() {
    panics_once_at(SUBMITTED);
}

#[test]
fn a_dispatch_that_panics_between_a_commit_and_its_word_loses_no_lease() {
    panics_once_at(CLAIMED);
}

#[test]
fn a_dispatch_that_panics_between_a_take_and_its_commit_loses_no_job() {
    panics_once_at(TAKEN);
}

#[test]
fn a_finish_that_panics_between_a_commit_and_its_word_ends_nothing_twice() {
    panics_once_at(FINISHED);
}

#[test]
fn an_execution_that_panics_before_it_has_recorded_a_command_goes_on_with_it() {
    panics_once_at(STARTED);
}

#[test]
fn an_execution_that_panics_between_an_upload_and_its_record_uploads_again() {
    panics_once_at(UPLOADED);
}

#[test]
fn a_coordinator_that_ends_between_a_submit_and_its_word_has_the_job_once() {
    coordinator_ends_at(SUBMITTED);
}

#[test]
fn a_coordinator_that_ends_between_a_claim_and_its_word_loses_no_lease() {
    coordinator_ends_at(CLAIMED);
}

#[test]
fn a_coordinator_that_ends_between_a_take_and_its_commit_loses_no_job() {
    coordinator_ends_at(TAKEN);
}

#[test]
fn a_coordinator_that_ends_between_a_finish_and_its_word_has_the_end_once() {
    coordinator_ends_at(FINISHED);
}

#[test]
fn an_agent_that_ends_before_it_has_recorded_a_command_leaves_no_process() {
    agent_ends_at(STARTED);
}

#[test]
fn an_agent_that_ends_between_an_upload_and_its_record_has_the_job_run_again() {
    agent_ends_at(UPLOADED);
}

#[test]
fn jobs_that_were_taken_when_the_nexus_went_away_are_returned_after_their_hold() {
    let (took, _) = returns_an_error_at(TAKEN, Route::Claims);
    assert!(took >= ledger::HOLD - Duration::from_secs(1), "it took {took:?}");
}

#[test]
fn a_finish_that_failed_after_its_commit_is_repeated() {
    let (_, n_finishes) = returns_an_error_at(FINISHED, Route::Finish);
    assert_eq!(n_finishes, 2);
}

#[test]
fn artifacts_that_were_uploaded_in_vain_are_uploaded_again() {
    let (_, n_uploads) = returns_an_error_at(UPLOADED, Route::Blobs);
    assert_eq!(n_uploads, 2);
}
