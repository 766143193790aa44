//! How agents end, and what their successors find.

use std::sync::Arc;

use agent::{OpenError, Stop};
use agent_tree::{StartError, start, start_with};
use async_trait::async_trait;
use domain::job::{GiveBack, RunEnd};
use domain::{Cause, JobId, JobSpec};
use executor::fake::{Asked, FakeExecutor, Script};
use executor::{CleanUpError, CleanedUp, Execution, Executor, Identity, Launch, LaunchError, Limit};
use protocol::Problem;

use crate::coordinator::State;
use crate::harness::{Harness, eventually, script};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_takes_one_job_and_ends_when_it_is_reported() {
    let world = Harness::new().await;
    let jobs = [(); 3].map(|()| world.coordinator.submit(JobSpec::command(["/bin/true"])));
    let mut agent = start(&world.config("once = true")).await.unwrap();
    agent.wait().await.unwrap();
    agent.close().await;
    let state = world.coordinator.state();
    let finished: Vec<_> = state.finishes.iter().map(|finish| finish.job.clone()).collect();
    assert_eq!(finished, [jobs[0].clone()]);
    assert_eq!((state.queue.len(), state.live.len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_lets_runs_end_and_takes_no_more() {
    let world = Harness::new().await;
    let mut agent = world.agent().await;
    let go = world.data.path().join("go");
    let job = world.coordinator.submit(script(&format!(
        "until test -e {}; do sleep 0.05; done",
        go.display()
    )));
    world.runs(&agent, &job).await;
    agent.stop(Stop::Drain);
    let later = world.coordinator.submit(JobSpec::command(["/bin/true"]));
    std::fs::write(go, "").unwrap();
    agent.wait().await.unwrap();
    agent.close().await;
    let state = world.coordinator.state();
    assert_eq!(
        state
            .finishes
            .iter()
            .map(|finish| &finish.job)
            .collect::<Vec<_>>(),
        [&job]
    );
    assert!(
        state.live.is_empty(),
        "{later} was given back if it was ever granted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_of_the_pool_gives_back_what_was_held_ahead() {
    let world = Harness::new().await;
    for _ in 0..40 {
        world.coordinator.submit(JobSpec::command(["/bin/true"]));
    }
    let agent = start(&world.config("slots = 1")).await.unwrap();
    // The lane is known to be short now; these will be held ahead of one that takes its time.
    world
        .coordinator
        .until("all are done", |state| (state.finishes.len() == 40).then_some(()))
        .await;
    let slow = world.coordinator.submit(script("sleep 2"));
    let short: Vec<_> = (0..10)
        .map(|_| world.coordinator.submit(JobSpec::command(["/bin/true"])))
        .collect();
    let given_back = |state: &mut crate::coordinator::State| (!state.returned.is_empty()).then_some(());
    world
        .coordinator
        .until("the slow one runs", |state| {
            state.live.contains_key(&slow).then_some(())
        })
        .await;
    let held = agent.station().table.len();
    if held > 1 {
        world.coordinator.state().draining = true;
        agent.station().table.draining(true);
        world.coordinator.until("they are given back", given_back).await;
        let returned = world.coordinator.state().returned.clone();
        assert!(
            returned
                .iter()
                .all(|(job, why)| short.contains(job) && *why == GiveBack::Drain),
            "{returned:?}"
        );
    }
    assert_eq!(
        world.coordinator.finished(&slow).await.report.end,
        RunEnd::Succeeded
    );
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_twice_it_kills_what_runs_and_says_so() {
    let world = Harness::new().await;
    let mut agent = world.agent().await;
    let job = world
        .coordinator
        .submit(script("trap '' TERM; while :; do sleep 1; done"));
    world.runs(&agent, &job).await;
    agent.stop(Stop::Drain);
    agent.stop(Stop::Now);
    agent.wait().await.unwrap();
    agent.close().await;
    assert_eq!(
        world.coordinator.finished(&job).await.report.end,
        RunEnd::Failed(Cause::Preempted)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_limit_ends_what_takes_too_long() {
    let world = Harness::new().await;
    let mut agent = start(&world.config("slots = 1\ndrain_limit = \"100ms\""))
        .await
        .unwrap();
    let job = world.coordinator.submit(script("sleep 1000"));
    world.runs(&agent, &job).await;
    agent.stop(Stop::Drain);
    agent.wait().await.unwrap();
    agent.close().await;
    assert_eq!(
        world.coordinator.finished(&job).await.report.end,
        RunEnd::Failed(Cause::Preempted)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_died_is_reported_by_the_next_and_its_files_are_removed() {
    let world = Harness::new().await;
    let executor = FakeExecutor::new(|_| Ok(Script::default()));
    let first = start_with(&world.config("slots = 1"), Arc::new(executor.clone()))
        .await
        .unwrap();
    let job = world.coordinator.submit(JobSpec::command(["/forever"]));
    world.runs(&first, &job).await;
    // Whoever is killed says no goodbye.
    first.close().await;
    assert_eq!(world.left("runs").len(), 1);
    let second = start_with(&world.config("slots = 1"), Arc::new(executor.clone()))
        .await
        .unwrap();
    let finish = world.coordinator.finished(&job).await;
    assert_eq!(
        (finish.report.end, finish.report.evidence),
        (RunEnd::Failed(Cause::AgentDied), None)
    );
    assert!(
        executor
            .asked()
            .iter()
            .any(|asked| matches!(asked, Asked::CleanUp(_)))
    );
    let directory = second.directory();
    eventually("the work is done", || directory.find("agent/leftovers").is_none()).await;
    assert_eq!(world.left("work"), [""; 0]);
    assert_eq!(world.left("runs"), [""; 0]);
    second.close().await;
}

/// An agent died while one run was going on and another was granted that it never heard of.
async fn after_a_crash(executor: &FakeExecutor) -> (Harness, [JobId; 2]) {
    let world = Harness::new().await;
    let first = start_with(&world.config("slots = 1"), Arc::new(executor.clone()))
        .await
        .unwrap();
    let started = world.coordinator.submit(JobSpec::command(["/forever"]));
    world.runs(&first, &started).await;
    first.close().await;
    let unstarted = world.coordinator.submit(JobSpec::command(["/forever"]));
    world.coordinator.grant_unheard();
    (world, [started, unstarted])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_gives_back_only_what_its_predecessor_never_started() {
    let executor = FakeExecutor::new(|_| Ok(Script::default()));
    let (world, [started, unstarted]) = after_a_crash(&executor).await;
    let later = Problem::new(503, "nexus_unavailable", "later");
    world.coordinator.state().refusals.extend(vec![later; 3]);
    let second = start_with(&world.config("slots = 1"), Arc::new(executor))
        .await
        .unwrap();
    let returned = |state: &mut State| (!state.returned.is_empty()).then(|| state.returned.clone());
    let returned = world.coordinator.until("it is given back", returned).await;
    assert_eq!(returned, [(unstarted, GiveBack::HeldAhead)]);
    assert_eq!(
        world.coordinator.finished(&started).await.report.end,
        RunEnd::Failed(Cause::AgentDied)
    );
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_started_is_not_given_back() {
    let executor = FakeExecutor::new(|_| Ok(Script::default()));
    let (world, [started, unstarted]) = after_a_crash(&executor).await;
    let [record] = world.left("runs").try_into().unwrap();
    std::fs::write(world.data.path().join("runs").join(record), "").unwrap();
    let second = start_with(&world.config("slots = 1"), Arc::new(executor))
        .await
        .unwrap();
    let directory = second.directory();
    eventually("the work is done", || directory.find("agent/leftovers").is_none()).await;
    second.close().await;
    let state = world.coordinator.state();
    assert_eq!(state.returned, []);
    assert!(
        [started, unstarted]
            .iter()
            .all(|job| state.live.contains_key(job))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_cannot_be_ended_keeps_no_other_from_being_reported() {
    let world = Harness::new().await;
    let executor = FakeExecutor::new(|_| Ok(Script::default()));
    let first = start_with(&world.config("slots = 2"), Arc::new(executor.clone()))
        .await
        .unwrap();
    let jobs = [(); 2].map(|()| world.coordinator.submit(JobSpec::command(["/forever"])));
    for job in &jobs {
        world.runs(&first, job).await;
    }
    first.close().await;
    let stubborn = Stubborn {
        fake: executor,
        undying: jobs[0].clone(),
    };
    let second = start_with(&world.config("slots = 1"), Arc::new(stubborn))
        .await
        .unwrap();
    world.coordinator.finished(&jobs[1]).await;
    second.close().await;
    let state = world.coordinator.state();
    assert!(state.live.contains_key(&jobs[0]) && state.returned.is_empty());
}

/// An executor that cannot end what is left of one job.
struct Stubborn {
    fake: FakeExecutor,
    undying: JobId,
}

#[async_trait]
impl Executor for Stubborn {
    fn name(&self) -> &'static str {
        "stubborn"
    }

    fn enforces(&self) -> &'static [Limit] {
        &[]
    }

    async fn start(&self, launch: Launch) -> Result<Arc<dyn Execution>, LaunchError> {
        self.fake.start(launch).await
    }

    async fn clean_up(&self, identity: &Identity) -> Result<CleanedUp, CleanUpError> {
        let Identity::Process(process) = identity;
        match process
            .workdir
            .to_string_lossy()
            .contains(&self.undying.to_string())
        {
            true => Err(CleanUpError::StillAlive { session: process.pid }),
            false => self.fake.clean_up(identity).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_do_not_share_a_data_directory() {
    let world = Harness::new().await;
    let agent = world.agent().await;
    let Err(error) = start(&world.config("slots = 1")).await else {
        panic!("a second agent was started")
    };
    assert!(
        matches!(error, StartError::Open(OpenError::InUse { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("give this one its own"), "{error}");
    agent.close().await;
}
