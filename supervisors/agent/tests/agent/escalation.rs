//! Actors that fail again and again: what they were doing goes on, what the process intends is not forgotten, and a tree
//! that gives up says why.

use std::sync::Arc;
use std::time::Duration;

use agent::Stop;
use agent_tree::{Running, start_with};
use domain::job::RunEnd;
use domain::{Cause, JobSpec};
use executor::fake::{Asked, FakeExecutor, Script};
use supervision::faults::{Fault, What, When};
use supervision::{Directory, Exit};

use crate::harness::{Harness, eventually, script};

const POLLER: &str = "agent/poller";
const SLOT: &str = "agent/runs/slot-0";
const EXECUTION: &str = "agent/runs/slot-0/execution";

fn inject(directory: &Directory, path: &str, when: When, what: What, times: usize) {
    for _ in 0..times {
        let path = path.to_owned();
        directory.faults().inject(Fault { path, when, what }).unwrap();
    }
}

/// Kills an actor, and waits until its successor has looked at its work.
async fn killed_and_back(directory: &Directory, path: &str) {
    let before = directory.find(path).unwrap().incarnation;
    assert!(directory.kill(path));
    eventually("it has a successor", || {
        directory
            .find(path)
            .is_some_and(|found| found.incarnation > before)
    })
    .await;
    // A delay of nothing does no harm, and tells of the message that it came with.
    inject(directory, path, When::Message(1), What::Delay(Duration::ZERO), 1);
    eventually("its successor works", || directory.faults().waiting().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poller_that_dies_while_the_process_stops_comes_back_and_asks_for_nothing() {
    let world = Harness::new().await;
    let mut agent = world.agent().await;
    let go = world.data.path().join("go");
    let wait = format!("until test -e {}; do sleep 0.05; done", go.display());
    let job = world.coordinator.submit(script(&wait));
    world.runs(&agent, &job).await;
    agent.stop(Stop::Drain);
    // A slot is open and there is work; the poll that waits for it is given up.
    let directory = agent.directory();
    killed_and_back(&directory, POLLER).await;
    let claims = world.coordinator.state().claims.len();
    let later = world.coordinator.submit(JobSpec::command(["/bin/true"]));
    for _ in 0..3 {
        killed_and_back(&directory, POLLER).await;
    }
    std::fs::write(go, "").unwrap();
    agent.wait().await.unwrap();
    agent.close().await;
    let state = world.coordinator.state();
    assert_eq!(state.claims.len(), claims);
    assert!(state.queue.iter().any(|(job, _)| *job == later));
    let finished: Vec<_> = state.finishes.iter().map(|finish| &finish.job).collect();
    assert_eq!(finished, [&job]);
}

/// An agent with one job, which runs until it is killed.
async fn with_a_run(world: &Harness, executor: &FakeExecutor) -> (Running, domain::JobId) {
    let agent = start_with(&world.config("slots = 1"), Arc::new(executor.clone()))
        .await
        .unwrap();
    let job = world.coordinator.submit(JobSpec::command(["/forever"]));
    world.runs(&agent, &job).await;
    (agent, job)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_gives_up_is_staffed_again_and_its_run_goes_on() {
    let world = Harness::new().await;
    let executor = FakeExecutor::new(|_| Ok(Script::default()));
    let (agent, job) = with_a_run(&world, &executor).await;
    let directory = agent.directory();
    let of_slot = || directory.find(SLOT).map(|slot| slot.started_at);
    let first = of_slot().unwrap();
    // One failure and three failed restarts are more than the three that are allowed.
    inject(&directory, EXECUTION, When::Start, What::Panic, 3);
    assert!(directory.kill(EXECUTION));
    eventually("the slot gives up", || of_slot() != Some(first)).await;
    eventually("another one takes its place", || {
        directory.find(EXECUTION).is_some() && of_slot().is_some()
    })
    .await;
    assert_eq!(directory.find("agent").unwrap().window.unwrap().restarts, 0);
    assert!(world.coordinator.state().finishes.is_empty());

    agent.station().table.stop(Stop::Now);
    assert_eq!(
        world.coordinator.finished(&job).await.report.end,
        RunEnd::Failed(Cause::Preempted)
    );
    agent.close().await;
    let starts = executor
        .asked()
        .iter()
        .filter(|asked| matches!(asked, Asked::Start(..)))
        .count();
    assert_eq!(starts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_gives_up_says_why_and_the_next_one_reports_what_it_ran() {
    let world = Harness::new().await;
    let executor = FakeExecutor::new(|_| Ok(Script::default()));
    let (mut agent, job) = with_a_run(&world, &executor).await;
    inject(&agent.directory(), POLLER, When::Message(1), What::Panic, 21);
    let exit = tokio::time::timeout(Duration::from_secs(20), agent.wait())
        .await
        .unwrap();
    let line = "child \"poller\" crashed: injected panic; failure 21 within 10s, 20 allowed";
    assert_eq!(exit, Err(Exit::GaveUp(line.to_owned())));
    agent.close().await;
    let next = start_with(&world.config("slots = 1"), Arc::new(executor))
        .await
        .unwrap();
    assert_eq!(
        world.coordinator.finished(&job).await.report.end,
        RunEnd::Failed(Cause::AgentDied)
    );
    next.close().await;
}
