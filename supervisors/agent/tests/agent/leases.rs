//! Claims, renewals and finishes, with replies that are lost and leases that are taken.

use std::sync::Arc;
use std::time::Duration;

use agent_tree::start_with;
use domain::job::RunEnd;
use domain::{Cause, JobSpec};
use executor::ExitStatus;
use executor::fake::{FakeExecutor, Script, Step};
use protocol::Problem;
use tokio::time::{Instant, sleep};

use crate::harness::{Harness, script};

const TRUE: [&str; 1] = ["/bin/true"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_and_is_reported_with_its_cause() {
    let world = Harness::new().await;
    let agent = world.agent().await;
    let good = world.coordinator.submit(JobSpec::command(TRUE));
    let bad = world.coordinator.submit(script("exit 3"));
    let absent = world.coordinator.submit(JobSpec::command(["/no/such/program"]));
    assert_eq!(
        world.coordinator.finished(&good).await.report.end,
        RunEnd::Succeeded
    );
    assert_eq!(
        world.coordinator.finished(&bad).await.report.end,
        RunEnd::Failed(Cause::Exit { code: 3 })
    );
    let absent = world.coordinator.finished(&absent).await.report.end;
    assert!(
        matches!(absent, RunEnd::Failed(Cause::CannotStart { .. })),
        "{absent:?}"
    );
    let labels = world.coordinator.state().agents[0].labels.clone();
    assert_eq!(
        (labels["executor"].as_str(), labels["isolation"].as_str()),
        ("process", "none")
    );
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_short_jobs_is_held_ahead_and_each_runs_once() {
    let world = Harness::new().await;
    let jobs: Vec<_> = (0..300)
        .map(|_| world.coordinator.submit(JobSpec::command(TRUE)))
        .collect();
    let agent = world.agent().await;
    for job in &jobs {
        world.coordinator.finished(job).await;
    }
    let most_ahead = {
        let state = world.coordinator.state();
        assert_eq!(
            (state.finishes.len(), state.repeated, state.refused.len()),
            (300, 0, 0)
        );
        state
            .claims
            .iter()
            .filter_map(|claim| claim.ahead.as_ref())
            .map(|ahead| ahead.n)
            .max()
    };
    assert!(most_ahead.is_some_and(|n| n >= 2), "{most_ahead:?}");
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_to_a_finish_delivers_it_once() {
    let world = Harness::new().await;
    world.coordinator.state().lose.insert("/v1/leases/finish", 2);
    let agent = world.agent().await;
    let job = world.coordinator.submit(JobSpec::command(TRUE));
    world
        .coordinator
        .until("the finish is repeated", |state| {
            (state.repeated == 2).then_some(())
        })
        .await;
    world.coordinator.finished(&job).await;
    agent.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_put_off_is_sent_again_with_pauses_until_it_is_taken() {
    let world = Harness::new().await;
    let outage = [(503, "nexus_unavailable"), (507, "vault_full"), (429, "busy")];
    let refusals = outage.map(|(status, code)| Problem::new(status, code, "later"));
    world.coordinator.state().refusals = refusals.into_iter().cycle().take(30).collect();
    let script = Script {
        steps: vec![Step::Exit(ExitStatus::Exited(0))],
        ..Script::default()
    };
    let executor = Arc::new(FakeExecutor::new(move |_| Ok(script.clone())));
    let agent = start_with(&world.config("slots = 1"), executor).await.unwrap();
    let submitted_at = Instant::now();
    world.coordinator.submit(JobSpec::command(TRUE));
    while world.coordinator.state().finishes.is_empty() {
        assert!(
            submitted_at.elapsed() < Duration::from_secs(600),
            "waited in vain"
        );
        sleep(Duration::from_millis(100)).await;
    }
    // Most pauses last a second, less half of that by chance.
    assert!(submitted_at.elapsed() > Duration::from_secs(13));
    agent.close().await;
    let state = world.coordinator.state();
    assert_eq!(
        (state.finish_requests, state.finishes.len(), state.repeated),
        (31, 1, 0)
    );
    assert_eq!(state.finishes[0].report.end, RunEnd::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_refused_for_good_becomes_a_failure_that_says_why() {
    let world = Harness::new().await;
    let problem = Problem::new(400, "report_odd", "it is odd");
    world.coordinator.state().refusals.push_back(problem);
    let agent = world.agent().await;
    let job = world.coordinator.submit(JobSpec::command(TRUE));
    let end = world.coordinator.finished(&job).await.report.end;
    assert!(
        matches!(&end, RunEnd::Failed(Cause::AgentFault { why }) if why.contains("it is odd")),
        "{end:?}"
    );
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_to_a_claim_costs_nothing_but_another_claim() {
    let world = Harness::new().await;
    world.coordinator.state().lose.insert("/v1/claims", 1);
    let job = world.coordinator.submit(JobSpec::command(TRUE));
    let agent = world.agent().await;
    let finish = world.coordinator.finished(&job).await;
    assert_eq!(finish.report.end, RunEnd::Succeeded);
    assert_eq!(finish.token.parts().map(|(attempt, ..)| attempt), Some(1));
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_lease_kills_its_run_and_is_not_reported() {
    let world = Harness::new().await;
    world.coordinator.state().ttl_ms = 900;
    let agent = world.agent().await;
    let marker = world.data.path().join("ended");
    let job = world
        .coordinator
        .submit(script(&format!("sleep 1000; touch {}", marker.display())));
    let live = |state: &mut crate::coordinator::State| state.renewals.gt(&1).then_some(());
    world.coordinator.until("the lease is renewed", live).await;
    world.coordinator.take_lease(&job);
    let mut held = agent.station().table.watch_held();
    tokio::time::timeout(Duration::from_secs(10), held.wait_for(|held| *held == 0))
        .await
        .unwrap()
        .unwrap();
    agent.close().await;
    let state = world.coordinator.state();
    assert_eq!(
        (state.finishes.len(), state.refused.len(), marker.exists()),
        (0, 0, false)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_comes_with_a_renewal_ends_the_run_as_cancelled() {
    let world = Harness::new().await;
    world.coordinator.state().ttl_ms = 900;
    let agent = world.agent().await;
    let job = world.coordinator.submit(script("sleep 1000"));
    world.coordinator.state().cancels.insert(job.clone());
    assert_eq!(
        world.coordinator.finished(&job).await.report.end,
        RunEnd::Cancelled
    );
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_ends_no_run_and_what_ended_meanwhile_is_reported_after_it() {
    const ALL: [&str; 4] = [
        "/v1/agents",
        "/v1/claims",
        "/v1/leases/finish",
        "/v1/leases/renew",
    ];
    let world = Harness::new().await;
    let agent = world.agent().await;
    let started = world.data.path().join("started");
    let job = world.coordinator.submit(script(&format!(
        "touch {}; sleep 0.3; echo done",
        started.display()
    )));
    world
        .coordinator
        .until("the job is claimed", |state| {
            state.live.contains_key(&job).then_some(())
        })
        .await;
    world.coordinator.state().down.extend(ALL);
    let mut state = agent.station().connection.subscribe();
    drop(state.borrow_and_update());
    let refused =
        |s: &mut crate::coordinator::State| (s.finishes.is_empty() && !s.live.is_empty()).then_some(());
    world.coordinator.until("the outage is noticed", refused).await;
    world.coordinator.state().down.clear();
    assert_eq!(
        world.coordinator.finished(&job).await.report.end,
        RunEnd::Succeeded
    );
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_knows_nobody_is_told_again_who_asks() {
    let world = Harness::new().await;
    let agent = world.agent().await;
    world
        .coordinator
        .until("it enrols", |state| (!state.agents.is_empty()).then_some(()))
        .await;
    agent
        .station()
        .connection
        .send_modify(|connection| connection.enrolled = false);
    world
        .coordinator
        .until("it enrols again", |state| (state.agents.len() >= 2).then_some(()))
        .await;
    agent.close().await;
}
