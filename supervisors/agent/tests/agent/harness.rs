//! An agent and its coordinator, made ready for a test.

use agent::Config;
use agent_tree::{Running, start};
use domain::JobSpec;
use tempfile::TempDir;

use crate::coordinator::Coordinator;

/// One coordinator, one data directory, and agents that are started with them.
pub(crate) struct Harness {
    pub(crate) coordinator: Coordinator,
    pub(crate) data: TempDir,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self { coordinator: Coordinator::start().await, data: TempDir::new().unwrap() }
    }

    pub(crate) fn config(&self, more: &str) -> Config {
        let (url, data) = (self.coordinator.url(), self.data.path().display());
        let config = format!(
            "coordinators = [\"{url}\"]\njoin_token = \"t\"\nname = \"forge-1\"\ndata = \"{data}\"\n{more}"
        );
        Config::from_toml(&config).unwrap()
    }

    /// An agent with two slots.
    pub(crate) async fn agent(&self) -> Running {
        start(&self.config("slots = 2")).await.unwrap()
    }
}

/// A job that is a script.
pub(crate) fn script(text: &str) -> JobSpec {
    let mut spec = JobSpec::command(Vec::<String>::new());
    spec.script = Some(text.to_owned());
    spec
}
