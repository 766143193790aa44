//! Real agents in this process, with an executor that only pretends: a job costs them what it costs, and its command nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent::{Config, Stop};
use agent_tree::Running;
use anyhow::{Context as _, Result, ensure};
use executor::fake::{FakeExecutor, Script, Step};
use executor::{ExitStatus, Launch};
use tokio::time::sleep;

use crate::coordinators::Coordinators;

/// Agents.
const N_AGENTS: usize = 4;
/// Jobs that each runs at once.
const N_SLOTS: usize = 16;
/// The program of a job that takes its time, so that some run whenever something happens.
pub(crate) const SLOW: &str = "slow";
/// How long it takes: longer than a lease would live without a renewal is not needed, longer than a failover is.
const SLOW_TIME: Duration = Duration::from_secs(4);

/// How long no job may start before the run counts as stuck: a failover on a busy machine, twice.
const STALL_MAX: Duration = Duration::from_secs(150);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// All agents, and what they started.
pub(crate) struct Crew {
    agents: Vec<Running>,
    started: Arc<Started>,
}

/// Which attempts of each job were started, each as often as it was. A mutex: the executors of all agents write it.
#[derive(Default)]
struct Started(Mutex<BTreeMap<String, Vec<String>>>);

impl Crew {
    /// Starts them.
    pub(crate) async fn start(coordinators: &Coordinators) -> Result<Self> {
        let started = Arc::new(Started::default());
        let mut agents = Vec::new();
        for i in 0..N_AGENTS {
            let config = config(coordinators, &format!("agent-{i}"))?;
            let theirs = Arc::clone(&started);
            let executor = FakeExecutor::new(move |launch| {
                theirs.note(launch);
                Ok(script(launch))
            });
            agents.push(agent_tree::start_with(&config, Arc::new(executor)).await?);
        }
        Ok(Self { agents, started })
    }

    /// Waits until so many jobs have been started.
    pub(crate) async fn until_started(&self, n: usize) -> Result<()> {
        let (mut last, mut moved_at) = (0, Instant::now());
        loop {
            let started = self.started.lock().len();
            if started >= n {
                return Ok(());
            }
            if started != last {
                (last, moved_at) = (started, Instant::now());
            }
            ensure!(
                moved_at.elapsed() < STALL_MAX,
                "{last} of {n} jobs were started, and no more are"
            );
            sleep(LOOK).await;
        }
    }

    /// Which attempts of each job were started, each as often as it was.
    pub(crate) fn started(&self) -> BTreeMap<String, Vec<String>> {
        self.started.lock().clone()
    }

    /// Lets them report what they hold, and ends them.
    pub(crate) async fn stop(self) -> Result<()> {
        for mut agent in self.agents {
            agent.stop(Stop::Drain);
            let ended = agent.wait().await;
            ended.map_err(|exit| anyhow::anyhow!("an agent gave up: {exit}"))?;
            agent.close().await;
        }
        Ok(())
    }
}

impl Started {
    /// A work directory is named `<job>.<attempt>`.
    fn note(&self, launch: &Launch) {
        let name = launch.workdir.file_name().unwrap_or_default().to_string_lossy();
        let (job, attempt) = name.rsplit_once('.').unwrap_or((&name, ""));
        let mut started = self.lock();
        started
            .entry(job.to_owned())
            .or_default()
            .push(attempt.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn config(coordinators: &Coordinators, name: &str) -> Result<Config> {
    let text = format!(
        "coordinators = {urls:?}\n\
         join_token = {token:?}\n\
         name = {name:?}\n\
         data = {data:?}\n\
         slots = {N_SLOTS}\n\
         cpus = {N_SLOTS}\n\
         memory = \"64GiB\"\n",
        urls = coordinators.urls(),
        token = coordinators.token("join")?,
        data = coordinators.agent_data(name),
    );
    Config::from_toml(&text).context("the configuration of an agent")
}

fn script(launch: &Launch) -> Script {
    let is_slow = launch.argv.iter().any(|argument| argument == SLOW);
    let wait = if is_slow { SLOW_TIME } else { Duration::ZERO };
    Script {
        steps: vec![Step::Wait(wait), Step::Exit(ExitStatus::Exited(0))],
        ignores_terminate: false,
    }
}
