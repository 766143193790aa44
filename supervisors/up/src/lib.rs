//! Everything in one process: a coordinator over the embedded nexus, and one agent that talks to it over loopback.
//!
//! The agent is an agent like any other: it knows a URL and a join token, and nothing of the coordinator beside it. The
//! two trees share no supervisor, because neither can heal the other; when one gives up, the process ends and says so.
//!
//! The data directory holds all that is kept: `nexus.db`, `vault/`, the two tokens, `agent/`, and `url`, where the
//! command line finds this coordinator.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::Stop;
use agent::config::JoinToken;
use coordinator_tree::{NexusUrl, Tokens, TokensError};
use supervision::Exit;

/// The file in the data directory that holds the coordinator's URL.
pub const URL_FILE: &str = "url";
/// The name of the agent that comes along.
const AGENT_NAME: &str = "local";
/// How long running jobs may go on when the process is told to end once.
const STOP_MAX: Duration = Duration::from_secs(10);

/// What `hiveforge up` is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory of everything.
    pub data: PathBuf,
    /// Where the coordinator listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many jobs run at once; none for as many as there are cpus.
    pub slots: Option<usize>,
    /// Settings of the coordinator.
    pub coordinator: coordinator::Config,
}

/// It could not be started. What was started before is stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The coordinator.
    #[error("cannot start the coordinator")]
    Coordinator(#[from] coordinator_tree::StartError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The agent.
    #[error("cannot start the agent")]
    Agent(#[from] agent_tree::StartError),
    /// The URL cannot be written down.
    #[error("cannot write {}", path.display())]
    Url {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
}

/// A running coordinator and its agent.
pub struct Running {
    coordinator: coordinator_tree::Running,
    agent: agent_tree::Running,
    url_file: PathBuf,
}

/// Starts the coordinator, then the agent.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config) -> Result<Running, StartError> {
    let coordinator = coordinator_tree::start(coordinator_tree::Config {
        nexus: NexusUrl::Sqlite(config.data.join("nexus.db")),
        listen: config.listen,
        data: config.data.clone(),
        coordinator: config.coordinator.clone(),
    })
    .await?;
    let url_file = config.data.join(URL_FILE);
    match start_agent(&config, &coordinator, &url_file).await {
        Ok(agent) => Ok(Running {
            coordinator,
            agent,
            url_file,
        }),
        Err(error) => {
            coordinator.stop(STOP_MAX).await;
            Err(error)
        }
    }
}

async fn start_agent(
    config: &Config,
    coordinator: &coordinator_tree::Running,
    url_file: &Path,
) -> Result<agent_tree::Running, StartError> {
    let url = format!("http://{}", reachable(coordinator.address));
    write_whole(url_file, &format!("{url}\n")).map_err(|source| StartError::Url {
        path: url_file.to_owned(),
        source,
    })?;
    let agent = agent::Config {
        coordinators: vec![url],
        join_token: JoinToken(Tokens::open(&config.data)?.join),
        name: AGENT_NAME.parse().expect("the name is an agent name"),
        data: config.data.join("agent"),
        slots: config.slots,
        labels: [].into(),
        cpus: None,
        memory: None,
        once: false,
        drain_limit: None,
    };
    Ok(agent_tree::start(&agent).await?)
}

impl Running {
    /// Where the coordinator listens.
    pub const fn address(&self) -> SocketAddr {
        self.coordinator.address
    }

    /// Tells the agent to end: to drain, or at once. [`Self::wait`] then returns.
    pub fn stop(&self, stop: Stop) {
        self.agent.stop(stop);
    }

    /// Waits until the agent has ended as it was told, or one of the trees has given up.
    ///
    /// # Errors
    /// A tree gave up; the exit says which actor failed, how often and why.
    pub async fn wait(&mut self) -> Result<(), Exit> {
        tokio::select! {
            exit = self.coordinator.exited() => Err(exit),
            ended = self.agent.wait() => ended,
        }
    }

    /// Stops the agent's actors, then the coordinator. What still runs is killed, and reported at the next start.
    pub async fn close(self) {
        let Self {
            coordinator,
            agent,
            url_file,
        } = self;
        agent.close().await;
        let left = coordinator.stop(STOP_MAX).await;
        for path in left {
            tracing::error!(%path, "an actor does not end");
        }
        // Nobody answers there any more. A successor writes it anew.
        if let Err(error) = fs::remove_file(&url_file) {
            tracing::warn!(%error, "the URL file stays");
        }
    }
}

/// Where this machine reaches an address that may be "all interfaces".
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// Writes a file that appears whole.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, text)?;
    fs::rename(&draft, path)
}
