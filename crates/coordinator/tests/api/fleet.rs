//! A real agent beside the coordinator, running real processes through outages that last real seconds.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_tree::Running;
use domain::{JobId, JobSpec};
use hiveforge_coordinator::Config;
use protocol::client::Options;
use protocol::jobs::{AttemptView, Submitted};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::fragile::{FragileNexus, Presence};
use crate::outage::calm;
use crate::world::{JOIN, World, eventually, spec};

/// How long an outage lasts. Leases live longer.
const OUTAGE: Duration = Duration::from_secs(4);
const TTL: Duration = Duration::from_secs(9);
/// How long after an outage a new job may have to wait for its start.
const SERVICE_WITHIN: Duration = Duration::from_secs(2);

struct Fleet {
    nexus: Arc<FragileNexus>,
    world: World,
    agent: Running,
    data: TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let nexus = Arc::new(FragileNexus::new());
        let world = World::with(Arc::clone(&nexus) as _, Config { lease_ttl: TTL }).await;
        let data = TempDir::new().unwrap();
        let config = format!(
            "coordinators = [\"http://{}\"]\njoin_token = \"{JOIN}\"\nname = \"forge\"\nslots = 3\ndata = \"{}\"",
            world.address,
            data.path().display()
        );
        let config = ::agent::Config::from_toml(&config).unwrap();
        let agent = agent_tree::start(&config).await.unwrap();
        Self {
            nexus,
            world,
            agent,
            data,
        }
    }

    /// A job that runs until the file `marker` is there, and says at its beginning and end which process it is.
    async fn endless(&self, marker: &Path) -> JobId {
        let marker = marker.display();
        let script = format!(
            "echo $$ > {marker}.begun; until test -e {marker}; do sleep 0.02; done; echo $$ > {marker}.over"
        );
        let id = self
            .world
            .submit_spec(&spec(&serde_json::json!({ "script": script }).to_string()))
            .await;
        let began = self.data.path().join(format!("{marker}.begun"));
        eventually("the job runs", || async { began.exists().then_some(()) }).await;
        id
    }

    async fn succeeded(&self, id: &JobId) {
        eventually("the job ends", || async {
            (self.world.job(id).await.state.as_str() == "succeeded").then_some(())
        })
        .await;
        let job = self.world.job(id).await;
        let outcomes: Vec<&str> = job
            .attempts
            .iter()
            .map(|AttemptView { outcome, .. }| outcome.as_str())
            .collect();
        assert_eq!((job.attempt, outcomes), (1, vec!["succeeded"]));
    }

    /// Submits a job as soon as one is accepted, and waits until it has run. Returns how long that took.
    async fn time_to_serve(&self, job: &JobSpec, ran: &Path) -> (JobId, Duration) {
        let began = Instant::now();
        let id = eventually("a job is accepted", || async {
            let answer = self
                .world
                .person
                .post::<Submitted>("/v1/jobs", job, Options::default())
                .await;
            Some(answer.ok()?.id)
        })
        .await;
        eventually("the new job runs", || async { ran.exists().then_some(()) }).await;
        (id, began.elapsed())
    }

    async fn close(self) {
        calm(&self.world.tree.directory());
        calm(&self.agent.directory());
        self.agent.close().await;
    }
}

/// One run ends during the outage and another after it; both are the processes that they were before.
async fn outlives(absence: Presence) {
    let fleet = Fleet::start().await;
    let file = |name: &str| fleet.data.path().join(name);
    let (during, after, new) = (file("during"), file("after"), file("new"));
    let (one, other) = (fleet.endless(&during).await, fleet.endless(&after).await);
    fleet.nexus.is(absence);
    fs::write(&during, "").unwrap();
    sleep(OUTAGE).await;
    fleet.nexus.is(Presence::Here);
    let job = JobSpec::command(["touch", &new.display().to_string()]);
    let (third, took) = fleet.time_to_serve(&job, &new).await;
    assert!(took <= SERVICE_WITHIN, "{took:?}");
    fs::write(&after, "").unwrap();
    for id in [one, other, third] {
        fleet.succeeded(&id).await;
    }
    for name in ["during", "after"] {
        let [begun, over] = ["begun", "over"].map(|end| fs::read(file(&format!("{name}.{end}"))).unwrap());
        assert_eq!(begun, over, "{name}");
    }
    fleet.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_outlive_a_nexus_that_refuses_for_seconds() {
    outlives(Presence::Refusing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_outlive_a_nexus_that_stands_still_for_seconds() {
    outlives(Presence::Frozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_made_waits_for_a_vault_that_is_away_for_seconds() {
    let fleet = Fleet::start().await;
    let gone = fleet.data.path().join("gone");
    let running = fleet.endless(&gone).await;
    let vault = fleet.world.vault_dir.path();
    let aside = vault.with_extension("aside");
    fs::rename(vault, &aside).unwrap();
    fs::write(vault, "no directory").unwrap();
    let makes = serde_json::json!({ "script": "echo new > out", "artifacts": ["out"] });
    let makes = fleet.world.submit_spec(&spec(&makes.to_string())).await;
    sleep(OUTAGE).await;
    assert_eq!(fleet.world.job(&makes).await.state.as_str(), "running");
    fs::remove_file(vault).unwrap();
    fs::rename(&aside, vault).unwrap();
    let back = Instant::now();
    fleet.succeeded(&makes).await;
    assert!(back.elapsed() <= SERVICE_WITHIN, "{:?}", back.elapsed());
    fs::write(&gone, "").unwrap();
    fleet.succeeded(&running).await;
    fleet.close().await;
}
