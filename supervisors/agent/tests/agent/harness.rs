//! An agent and its coordinator, made ready for a test.

use std::time::Duration;

use agent::Config;
use agent_tree::{Running, start};
use domain::{JobId, JobSpec};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::coordinator::Coordinator;

/// One coordinator, one data directory, and agents that are started with them.
pub(crate) struct Harness {
    pub(crate) coordinator: Coordinator,
    pub(crate) data: TempDir,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self {
            coordinator: Coordinator::start().await,
            data: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn config(&self, more: &str) -> Config {
        self.config_for(&self.coordinator.url(), more)
    }

    /// A configuration with these URLs.
    pub(crate) fn config_for(&self, url: &str, more: &str) -> Config {
        let data = self.data.path().display();
        let config = format!(
            "coordinators = [\"{url}\"]\njoin_token = \"t\"\nname = \"forge-1\"\ndata = \"{data}\"\n{more}"
        );
        Config::from_toml(&config).unwrap()
    }

    /// Waits until the command of a job runs.
    pub(crate) async fn runs(&self, agent: &Running, job: &JobId) {
        eventually("the job runs", || agent.station().table.is_running(job)).await;
    }

    /// The names of what is in a part of the data directory.
    pub(crate) fn left(&self, part: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.data.path().join(part)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// An agent with two slots.
    pub(crate) async fn agent(&self) -> Running {
        start(&self.config("slots = 2")).await.unwrap()
    }
}

/// Waits for a condition, and fails loudly if it takes too long.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// A job that is a script.
pub(crate) fn script(text: &str) -> JobSpec {
    let mut spec = JobSpec::command(Vec::<String>::new());
    spec.script = Some(text.to_owned());
    spec
}
