//! What happens to one job.

use std::time::Duration;

use agent::Config;
use agent_tree::{Running, start};
use domain::JobSpec;
use domain::job::RunEnd;
use tempfile::TempDir;

use crate::coordinator::Coordinator;

fn config(coordinator: &Coordinator, data: &TempDir, more: &str) -> Config {
    let (url, data) = (coordinator.url(), data.path().display());
    Config::from_toml(&format!(
        "coordinators = [\"{url}\"]\njoin_token = \"t\"\nname = \"forge-1\"\ndata = \"{data}\"\n{more}"
    ))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_and_is_reported() {
    let (coordinator, data) = (Coordinator::start().await, TempDir::new().unwrap());
    let agent: Running = start(&config(&coordinator, &data, "slots = 2")).await.unwrap();
    let job = coordinator.submit(JobSpec::command(["/bin/true"]));
    let finish = coordinator.finished(&job).await;
    assert_eq!(finish.report.end, RunEnd::Succeeded);
    let _ = Duration::ZERO;
    agent.close().await;
}
