//! `hiveforge agent`: an agent alone.

#[cfg(feature = "faults")]
use std::convert::Infallible;
use std::fs;
#[cfg(feature = "faults")]
use std::future::pending;
use std::path::{Path, PathBuf};

use agent::OpenError;
use agent::config::JoinToken;
use agent_tree::StartError;
use clap::Args;
use domain::AgentName;
use supervision::Directory;
#[cfg(feature = "faults")]
use supervision::faults::{FAULTS_MAX, Fault, What, When};
#[cfg(feature = "faults")]
use tokio::signal::unix::{SignalKind, signal};

use crate::command::Context;
use crate::command::pair::Pair;
use crate::failure::Failure;
use crate::role::{in_full, run_to_end};
use crate::signals::Signals;

/// The part of the data directory that is the agent's.
const DATA_PART: &str = "agent";

/// Options of `agent`.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// Coordinator; several with commas, or given again [env: HIVEFORGE_COORDINATOR]
    #[arg(
        long = "coordinator",
        env = "HIVEFORGE_COORDINATOR",
        hide_env = true,
        value_name = "URL",
        required_unless_present = "config",
        num_args = 1..
    )]
    coordinators: Vec<String>,
    /// File that holds the join token
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    join_token_file: Option<PathBuf>,
    /// Durable name [default: the host's]
    #[arg(long)]
    name: Option<AgentName>,
    /// Run one job, upload its results and exit
    #[arg(long)]
    once: bool,
    /// Jobs that run at once [default: one for each cpu]
    #[arg(long, value_name = "N")]
    slots: Option<usize>,
    /// A label that jobs can require; repeatable
    #[arg(long = "label", value_name = "K=V")]
    labels: Vec<Pair>,
    /// Configuration; options go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// From SIGUSR1 on, let the actor at PATH panic at every message: nobody can reach an agent to ask it for that
    #[cfg(feature = "faults")]
    #[arg(long, value_name = "PATH", hide = true)]
    panics: Option<String>,
}

impl Agent {
    /// Runs until SIGINT or SIGTERM, or with `--once` until one job has ended.
    ///
    /// # Errors
    /// It cannot start, or its tree gave up.
    pub(crate) async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let mut signals = Signals::catch()?;
        let directory = Directory::new();
        #[cfg(feature = "faults")]
        let drill = drill(self.panics.clone(), directory.clone())?;
        let config = self.config(ctx)?;
        let started = agent_tree::start_in(&config, &directory).await;
        let running = started.map_err(|error| match error {
            StartError::Open(OpenError::Url(bad)) => Failure::BadUrl(bad),
            error => Failure::Role {
                role: "agent",
                why: in_full(&error),
            },
        })?;
        let ended = run_to_end(running, &mut signals);
        #[cfg(feature = "faults")]
        let ended = async {
            tokio::select! {
                ended = ended => ended,
                never = drill => match never {},
            }
        };
        ended.await
    }

    /// The configuration: the file's, with what the options say instead.
    fn config(self, ctx: &Context) -> Result<agent::Config, Failure> {
        let mut config = match &self.config {
            Some(path) => read_config(path)?,
            None => from_options_alone(ctx.data_dir()?.join(DATA_PART)),
        };
        if let Some(data) = &ctx.data {
            config.data = data.join(DATA_PART);
        }
        if !self.coordinators.is_empty() {
            config.coordinators = self.coordinators;
        }
        if let Some(path) = &self.join_token_file {
            let text = fs::read_to_string(path).map_err(|why| Failure::file("read", path, why))?;
            config.join_token = JoinToken(text.trim().to_owned());
        }
        config.name = self.name.unwrap_or(config.name);
        config.slots = self.slots.or(config.slots);
        config.once |= self.once;
        config
            .labels
            .extend(self.labels.into_iter().map(|Pair { key, value }| (key, value)));
        Ok(config)
    }
}

/// Lets the actor at `path` panic at every message once SIGUSR1 has come, which ends nothing from now on.
#[cfg(feature = "faults")]
fn drill(path: Option<String>, directory: Directory) -> Result<impl Future<Output = Infallible>, Failure> {
    let mut asked = signal(SignalKind::user_defined1()).map_err(Failure::Runtime)?;
    Ok(async move {
        if let Some(path) = path {
            asked.recv().await;
            let fault = Fault {
                path,
                when: When::Message(1),
                what: What::Panic,
            };
            for _ in 0..FAULTS_MAX {
                let injected = directory.faults().inject(fault.clone());
                injected.expect("it can happen, and there is room for so many");
            }
        }
        pending().await
    })
}

fn read_config(path: &Path) -> Result<agent::Config, Failure> {
    let text = fs::read_to_string(path).map_err(|why| Failure::file("read", path, why))?;
    agent::Config::from_toml(&text).map_err(|error| Failure::BadConfig {
        role: "agent",
        why: in_full(&error),
    })
}

/// What there is without a file; the options that must be given then are still missing.
fn from_options_alone(data: PathBuf) -> agent::Config {
    agent::Config {
        coordinators: Vec::new(),
        join_token: JoinToken(String::new()),
        name: host_name(),
        data,
        slots: None,
        labels: [].into(),
        cpus: None,
        memory: None,
        once: false,
        drain_limit: None,
    }
}

/// The host's name as far as it is an agent name.
fn host_name() -> AgentName {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy().to_lowercase();
    host.parse()
        .unwrap_or_else(|_| "agent".parse().expect("the word is an agent name"))
}
