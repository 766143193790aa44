//! Several coordinators of one pool, of which some die, hang or come back: work goes on with those that are left.

use std::time::Duration;

use agent_tree::start;
use domain::JobSpec;
use domain::job::RunEnd;
use tokio::time::{Instant, sleep};

use crate::coordinator::Coordinator;
use crate::harness::{Harness, eventually};
use crate::outage::{calm, is_frozen, until};

/// A pool of three coordinators.
struct Pool {
    world: Harness,
    all: [Coordinator; 3],
}

impl Pool {
    /// Leases live for so long.
    async fn new(ttl_ms: u64) -> Self {
        let world = Harness::new().await;
        world.coordinator.go().await;
        world.coordinator.come();
        world.coordinator.state().ttl_ms = ttl_ms;
        let all = [
            world.coordinator.clone(),
            world.coordinator.another(),
            world.coordinator.another(),
        ];
        for coordinator in &all[1..] {
            coordinator.go().await;
            coordinator.come();
        }
        Self { world, all }
    }

    /// One entry with all URLs, as an option has it.
    fn urls(&self) -> String {
        let urls: Vec<String> = self.all.iter().map(Coordinator::url).collect();
        urls.join(",")
    }

    fn config(&self) -> agent::Config {
        self.world.config_for(&self.urls(), "slots = 2")
    }

    async fn serves(&self) {
        let job = self.all[0].submit(JobSpec::command(["/bin/true"]));
        assert_eq!(self.all[0].finished(&job).await.report.end, RunEnd::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lease_is_lost_and_no_run_stands_still_while_one_coordinator_is_left() {
    const TTL: Duration = Duration::from_secs(6);
    let pool = Pool::new(6_000).await;
    let agent = start(&pool.config()).await.unwrap();
    let marker = pool.world.data.path().join("long");
    let long = pool.all[0].submit(until(&marker));
    pool.world.runs(&agent, &long).await;
    let begun = pool.world.data.path().join("long.begun");
    eventually("the script runs", || begun.exists()).await;
    for left in [2, 0] {
        // One dies, one hangs: which of them the agent stays with is up to chance.
        pool.all[(left + 1) % 3].go().await;
        pool.all[(left + 2) % 3].freeze(true);
        let struck_at = Instant::now();
        pool.serves().await;
        while struck_at.elapsed() < TTL {
            assert!(!is_frozen(&begun));
            sleep(Duration::from_millis(50)).await;
        }
        pool.serves().await;
        pool.all[(left + 1) % 3].come();
        pool.all[(left + 2) % 3].freeze(false);
    }
    std::fs::write(&marker, "").unwrap();
    let finish = pool.all[0].finished(&long).await;
    assert_eq!(finish.report.end, RunEnd::Succeeded);
    calm(&agent);
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_are_away_for_longer_than_a_lease_lives_runs_stand_still_and_go_on_with_the_first_that_is_back()
 {
    let pool = Pool::new(3_000).await;
    let agent = start(&pool.config()).await.unwrap();
    let marker = pool.world.data.path().join("long");
    let long = pool.all[0].submit(until(&marker));
    pool.world.runs(&agent, &long).await;
    let begun = pool.world.data.path().join("long.begun");
    eventually("the script runs", || begun.exists()).await;
    pool.all[0].go().await;
    pool.all[1].freeze(true);
    pool.all[2].go().await;
    eventually("the run stands still", || is_frozen(&begun)).await;
    pool.all[2].come();
    eventually("the run goes on", || !is_frozen(&begun)).await;
    pool.serves().await;
    std::fs::write(&marker, "").unwrap();
    assert_eq!(pool.all[0].finished(&long).await.report.end, RunEnd::Succeeded);
    let n_attempts = {
        let state = pool.all[0].state();
        state.finishes.iter().filter(|finish| finish.job == long).count()
    };
    assert_eq!(n_attempts, 1);
    calm(&agent);
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_is_not_noticed_by_jobs() {
    let pool = Pool::new(30_000).await;
    let agent = start(&pool.config()).await.unwrap();
    pool.serves().await;
    for coordinator in &pool.all {
        coordinator.go().await;
        pool.serves().await;
        coordinator.come();
        pool.serves().await;
    }
    calm(&agent);
    agent.close().await;
}
