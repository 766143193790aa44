//! Outages of whatever an agent depends on: states to be in, never crashes, and over when they are over.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent_tree::{Running, start_with};
use async_trait::async_trait;
use domain::job::RunEnd;
use domain::spec::Input;
use domain::{Cause, Digest, JobId, JobSpec};
use executor::fake::{Asked, FakeExecutor, Script, Step};
use executor::{
    CleanUpError, CleanedUp, Execution, Executor, ExitStatus, Identity, Launch, LaunchError, Limit,
};
use tokio::time::{Instant, sleep};

use crate::harness::{Harness, eventually, script};

/// An outage of the coordinator, and how long a lease lives meanwhile.
struct Outage {
    lasts: Duration,
    ttl_ms: u64,
}

/// Leases outlive it.
const SHORT: Outage = Outage {
    lasts: Duration::from_secs(4),
    ttl_ms: 9_000,
};
/// It outlives leases, which nobody takes meanwhile.
const LONG: Outage = Outage {
    lasts: Duration::from_secs(8),
    ttl_ms: 3_000,
};

/// How long after it everything must be as before.
const SERVICE_WITHIN: Duration = Duration::from_secs(2);

/// Fails if any actor of the agent ever crashed, was killed, or was started again.
pub(crate) fn calm(agent: &Running) {
    let totals = agent.directory().totals();
    let trouble = totals.failed_starts
        + totals.crashes
        + totals.kills
        + totals.gave_up
        + totals.stuck
        + totals.abandoned;
    assert_eq!(trouble, 0, "an outage is no crash: {totals:?}");
    for actor in agent.directory().list() {
        assert_eq!(actor.restarts, 0, "{}", actor.path);
    }
}

/// A script that runs until the file `marker` is there, and says at its beginning and end which process it is.
pub(crate) fn until(marker: &Path) -> JobSpec {
    let marker = marker.display();
    script(&format!(
        "echo $$ > {marker}.begun; until test -e {marker}; do sleep 0.02; done; echo $$ > {marker}.over"
    ))
}

/// Whether the process whose id is in this file is stopped.
pub(crate) fn is_frozen(pid: &Path) -> bool {
    let pid = std::fs::read_to_string(pid).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
    let (_, state) = stat.rsplit_once(") ").unwrap();
    state.starts_with('T')
}

/// Sees two runs through an outage of the coordinator, one that ends meanwhile and one that ends after it.
async fn outlives(outage: Outage, begin: impl AsyncFnOnce(&Harness), end: impl FnOnce(&Harness)) {
    let world = Harness::new().await;
    world.coordinator.go().await;
    world.coordinator.come();
    world.coordinator.state().ttl_ms = outage.ttl_ms;
    let agent = agent_tree::start(&world.config("slots = 3")).await.unwrap();
    let file = |name: &str| world.data.path().join(name);
    let jobs: Vec<JobId> = ["during", "after"]
        .map(|name| world.coordinator.submit(until(&file(name))))
        .into();
    for (name, job) in ["during.begun", "after.begun"].iter().zip(&jobs) {
        world.runs(&agent, job).await;
        eventually("the script runs", || file(name).exists()).await;
    }
    begin(&world).await;
    std::fs::write(file("during"), "").unwrap();
    sleep(outage.lasts).await;
    let frozen = outage.lasts > Duration::from_millis(outage.ttl_ms);
    assert_eq!(is_frozen(&file("after.begun")), frozen);
    end(&world);
    let back = Instant::now();
    let new = world.coordinator.submit(JobSpec::command(["/bin/true"]));
    for job in [&jobs[0], &new] {
        let finish = world.coordinator.finished(job).await;
        assert_eq!(finish.report.end, RunEnd::Succeeded);
    }
    eventually("the run goes on", || !is_frozen(&file("after.begun"))).await;
    assert!(back.elapsed() <= SERVICE_WITHIN, "{:?}", back.elapsed());
    std::fs::write(file("after"), "").unwrap();
    assert_eq!(
        world.coordinator.finished(&jobs[1]).await.report.end,
        RunEnd::Succeeded
    );
    for name in ["during", "after"] {
        let [begun, over] =
            ["begun", "over"].map(|end| std::fs::read(file(&format!("{name}.{end}"))).unwrap());
        assert_eq!(begun, over, "{name} is the process that it was");
    }
    let attempts: Vec<Option<u32>> = {
        let state = world.coordinator.state();
        let tokens = state.finishes.iter().map(|finish| finish.token.parts());
        tokens.map(|parts| parts.map(|(attempt, ..)| attempt)).collect()
    };
    assert_eq!(attempts, [Some(1); 3]);
    calm(&agent);
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_outlive_a_coordinator_that_is_gone_for_seconds() {
    outlives(
        SHORT,
        async |world| world.coordinator.go().await,
        |world| world.coordinator.come(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_stand_still_while_a_coordinator_is_gone_for_longer_than_their_leases_and_go_on() {
    outlives(
        LONG,
        async |world| world.coordinator.go().await,
        |world| world.coordinator.come(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_stand_still_while_a_coordinator_does_for_longer_than_their_leases_and_go_on() {
    outlives(
        LONG,
        async |world| world.coordinator.freeze(true),
        |world| world.coordinator.freeze(false),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_outlive_a_coordinator_that_stands_still_for_seconds() {
    outlives(
        SHORT,
        async |world| world.coordinator.freeze(true),
        |world| world.coordinator.freeze(false),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_waits_for_its_inputs_while_the_vault_is_away() {
    let world = Harness::new().await;
    let agent = world.agent().await;
    let content = b"content".as_slice();
    let digest = Digest::of(content);
    {
        let mut state = world.coordinator.state();
        state.blobs.insert(digest, content.into());
        state.vault_gone = true;
    }
    let mut spec = script("test \"$(cat in)\" = content");
    let input = Input {
        digest,
        executable: false,
    };
    spec.inputs.insert("in".to_owned(), input);
    let job = world.coordinator.submit(spec);
    // The fifth try is made when the pauses are as long as they get.
    let tried = |state: &mut crate::coordinator::State| (state.downloads >= 5).then_some(());
    world.coordinator.until("it asks again", tried).await;
    world.coordinator.state().vault_gone = false;
    let back = Instant::now();
    let finish = world.coordinator.finished(&job).await;
    assert!(back.elapsed() <= SERVICE_WITHIN, "{:?}", back.elapsed());
    assert_eq!(finish.report.end, RunEnd::Succeeded);
    assert_eq!(finish.token.parts().map(|(attempt, ..)| attempt), Some(1));
    calm(&agent);
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_refuses_fails_its_runs_and_no_actor() {
    let world = Harness::new().await;
    let refuses = Arc::new(AtomicBool::new(true));
    let away = Arc::clone(&refuses);
    let executor = FakeExecutor::new(move |_| match away.load(Ordering::SeqCst) {
        true => Err(LaunchError::Pipes(io::ErrorKind::ConnectionRefused.into())),
        false => Ok(Script {
            steps: vec![Step::Exit(ExitStatus::Exited(0))],
            ..Script::default()
        }),
    });
    let agent = start_with(&world.config("slots = 2"), Arc::new(executor))
        .await
        .unwrap();
    let jobs: Vec<JobId> = (0..30)
        .map(|_| world.coordinator.submit(JobSpec::command(["/bin/true"])))
        .collect();
    for job in &jobs {
        let end = world.coordinator.finished(job).await.report.end;
        assert!(
            matches!(&end, RunEnd::Failed(Cause::AgentFault { why }) if why.contains("pipes")),
            "{end:?}"
        );
    }
    refuses.store(false, Ordering::SeqCst);
    serves(&world).await;
    calm(&agent);
    agent.close().await;
}

/// Fails if a new job does not succeed soon.
async fn serves(world: &Harness) {
    let back = Instant::now();
    let job = world.coordinator.submit(JobSpec::command(["/bin/true"]));
    let end = world.coordinator.finished(&job).await.report.end;
    assert_eq!(end, RunEnd::Succeeded);
    assert!(back.elapsed() <= SERVICE_WITHIN, "{:?}", back.elapsed());
}

/// An executor that never answers to the start of `/silence`.
struct Silent(FakeExecutor);

#[async_trait]
impl Executor for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn enforces(&self) -> &'static [Limit] {
        &[]
    }

    async fn start(&self, launch: Launch) -> Result<Arc<dyn Execution>, LaunchError> {
        match launch.argv[0].as_str() {
            "/silence" => std::future::pending().await,
            _ => self.0.start(launch).await,
        }
    }

    async fn clean_up(&self, identity: &Identity) -> Result<CleanedUp, CleanUpError> {
        self.0.clean_up(identity).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_never_answers_holds_up_its_run_alone_and_until_that_is_cancelled() {
    let world = Harness::new().await;
    world.coordinator.state().ttl_ms = 900;
    let executor = FakeExecutor::new(|launch| {
        let ends = (launch.argv[0] == "/bin/true").then_some(Step::Exit(ExitStatus::Exited(0)));
        Ok(Script {
            steps: ends.into_iter().collect(),
            ..Script::default()
        })
    });
    let silent = Arc::new(Silent(executor.clone()));
    let agent = start_with(&world.config("slots = 3"), silent).await.unwrap();
    let [silence, other] =
        ["/silence", "/other"].map(|program| world.coordinator.submit(JobSpec::command([program])));
    world.runs(&agent, &other).await;
    let renewals = world.coordinator.state().renewals;
    let renewed = |state: &mut crate::coordinator::State| (state.renewals > renewals + 5).then_some(());
    world.coordinator.until("the leases are renewed", renewed).await;
    serves(&world).await;
    assert!(world.coordinator.state().live.contains_key(&silence));
    world.coordinator.state().cancels.insert(silence.clone());
    let back = Instant::now();
    let end = world.coordinator.finished(&silence).await.report.end;
    assert_eq!(end, RunEnd::Cancelled);
    assert!(back.elapsed() <= SERVICE_WITHIN, "{:?}", back.elapsed());
    let disturbed = |asked: &Asked| !matches!(asked, Asked::Start(..));
    assert!(!executor.asked().iter().any(disturbed), "{:?}", executor.asked());
    calm(&agent);
    agent.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_known_for_hours_keeps_the_actor_that_it_had() {
    let world = Harness::new().await;
    let executor = Arc::new(FakeExecutor::new(|_| Ok(Script::default())));
    let agent = start_with(&world.config("slots = 1"), executor).await.unwrap();
    let enrolments = |n: usize| move |state: &crate::coordinator::State| state.agents.len() > n;
    let many = enrolments(supervision::TASKS_MAX + 1);
    while !many(&world.coordinator.state()) {
        sleep(Duration::from_secs(60)).await;
    }
    calm(&agent);
    agent.close().await;
}
