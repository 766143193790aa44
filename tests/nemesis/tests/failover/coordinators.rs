//! Coordinators over one nexus: processes that share a data directory, and a client that knows them all.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use domain::JobId;
use domain::job::StateName;
use e2e::{Cli, Role};
use protocol::client::{Client, Options};
use protocol::jobs::{JobList, JobView};
use servers::{LIMIT, Port, within};
use tempfile::TempDir;
use tokio::time::sleep;

/// How long jobs may take to end once all of them were started.
const END_MAX: Duration = Duration::from_secs(150);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// All of them, and the directory of everybody's files. They end when this is dropped.
pub(crate) struct Coordinators {
    directory: TempDir,
    members: Vec<(Port, Option<Role>)>,
}

impl Coordinators {
    /// Starts so many with these options, and waits until each listens.
    pub(crate) fn start(n: usize, options: &[&str]) -> Result<Self> {
        let directory = TempDir::with_prefix("hiveforge-failover-")?;
        let mut coordinators = Self {
            directory,
            members: Vec::new(),
        };
        for i in 0..n {
            let port = Port::reserve()?;
            let data = coordinators.data();
            let cli = Cli::new(&e2e::hiveforge()?, &data, coordinators.directory.path());
            let mut command = cli.command();
            command.args(["coordinator", "--listen", &port.addr().to_string()]);
            command
                .args(["--lease-ttl", "10s"])
                .args(options)
                .arg("--data")
                .arg(&data);
            let log = coordinators.log(i);
            let role = Role::start(command, log)?;
            within("a coordinator listens", LIMIT, || {
                Ok(role.log()?.contains("the coordinator listens").then_some(()))
            })
            .with_context(|| role.log().unwrap_or_default())?;
            coordinators.members.push((port, Some(role)));
        }
        Ok(coordinators)
    }

    /// The URLs of all, the dead ones included.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|(port, _)| format!("http://{}", port.addr()))
            .collect()
    }

    /// One of the tokens that they share: `admin` or `join`.
    pub(crate) fn token(&self, name: &str) -> Result<String> {
        let path = self.data().join(format!("{name}.token"));
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// A client that knows all of them.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::new(self.urls(), &self.token("admin")?)?)
    }

    /// A directory for an agent.
    pub(crate) fn agent_data(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Kills all but one, for good.
    pub(crate) fn kill_all_but(&mut self, survivor: usize) -> Result<()> {
        for (_, (_, role)) in self
            .members
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| *i != survivor)
        {
            role.take().context("it lived")?.kill()?;
        }
        Ok(())
    }

    /// How often the logs of all of them, the dead ones included, have these words.
    pub(crate) fn reports_of(&self, words: &str) -> Result<usize> {
        let mut n = 0;
        for i in 0..self.members.len() {
            n += fs::read_to_string(self.log(i))?.matches(words).count();
        }
        Ok(n)
    }

    fn log(&self, i: usize) -> PathBuf {
        self.directory.path().join(format!("coordinator-{i}.log"))
    }

    /// Waits until no job is queued or runs, and returns them all.
    pub(crate) async fn all_ended(&self) -> Result<BTreeMap<JobId, JobView>> {
        let client = self.client()?;
        let began_at = Instant::now();
        loop {
            match n_open(&client).await {
                Ok(0) => return all_jobs(&client).await,
                open if began_at.elapsed() > END_MAX => anyhow::bail!("jobs do not end: {open:?} are open"),
                Ok(_) | Err(_) => sleep(LOOK).await,
            }
        }
    }
}

/// How many jobs have not ended; at most a page of each state is counted.
async fn n_open(client: &Client) -> Result<usize> {
    let mut n = 0;
    for state in [StateName::Queued, StateName::Running] {
        let list: JobList = client
            .get(&format!("/v1/jobs?state={state}"), Options::default())
            .await?;
        n += list.items.len();
    }
    Ok(n)
}

async fn all_jobs(client: &Client) -> Result<BTreeMap<JobId, JobView>> {
    let mut all = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page: JobList = client
            .get(&format!("/v1/jobs?limit=1000{cursor}"), Options::default())
            .await?;
        all.extend(page.items.into_iter().map(|job| (job.id.clone(), job)));
        match page.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

impl Drop for Coordinators {
    fn drop(&mut self) {
        if thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("the logs of this run stay in {}", self.directory.path().display());
        }
    }
}
