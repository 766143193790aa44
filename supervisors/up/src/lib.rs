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
use std::path::PathBuf;
use std::time::Duration;

use agent::Stop;
use agent::config::JoinToken;
use coordinator::ObservedTree;
use coordinator_tree::{Tokens, TokensError};
use supervision::{Directory, Exit};

/// The file in the data directory that holds the coordinator's URL.
pub const URL_FILE: &str = "url";
/// The name of the agent that comes along.
const AGENT_NAME: &str = "local";
/// How long the process takes to end at most once the agent's runs have ended and are reported.
pub const END_MAX: Duration = agent_tree::END_MAX.saturating_add(coordinator_tree::END_MAX);
/// How long the process takes to end at most when it was told to end now.
pub const HURRIED_END_MAX: Duration =
    agent_tree::HURRIED_END_MAX.saturating_add(coordinator_tree::HURRIED_END_MAX);

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

/// One of the trees has given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tree}: {exit}")]
pub struct GaveUp {
    /// Which.
    pub tree: &'static str,
    /// Which actor failed, how often and why.
    pub exit: Exit,
}

/// A running coordinator and its agent.
pub struct Running {
    coordinator: coordinator_tree::Running,
    agent: agent_tree::Running,
    url_file: UrlFile,
}

/// Starts the coordinator, then the agent.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config) -> Result<Running, StartError> {
    // The agent's actors can be looked at where the coordinator's are; that is all that the two share.
    let agents_actors = Directory::new();
    let observed = ObservedTree {
        name: "agent",
        directory: agents_actors.clone(),
    };
    let coordinating =
        coordinator_tree::Config::alone(config.data.clone(), config.listen, config.coordinator.clone());
    let coordinator = coordinator_tree::start_beside(coordinating, vec![observed]).await?;
    let url_file = UrlFile {
        path: config.data.join(URL_FILE),
        url: format!("http://{}", reachable(coordinator.address)),
    };
    match start_agent(&config, &url_file, &agents_actors).await {
        Ok(agent) => Ok(Running {
            coordinator,
            agent,
            url_file,
        }),
        Err(error) => {
            url_file.remove();
            coordinator.stop(std::future::pending()).await;
            Err(error)
        }
    }
}

async fn start_agent(
    config: &Config,
    url_file: &UrlFile,
    directory: &Directory,
) -> Result<agent_tree::Running, StartError> {
    url_file.write().map_err(|source| StartError::Url {
        path: url_file.path.clone(),
        source,
    })?;
    let agent = agent::Config {
        coordinators: vec![url_file.url.clone()],
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
    Ok(agent_tree::start_in(&agent, directory).await?)
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
    /// A tree gave up.
    pub async fn wait(&mut self) -> Result<(), GaveUp> {
        let in_tree = |tree| move |exit| GaveUp { tree, exit };
        tokio::select! {
            exit = self.coordinator.exited() => Err(in_tree("coordinator")(exit)),
            ended = self.agent.wait() => ended.map_err(in_tree("agent")),
        }
    }

    /// Stops the agent's actors, then the coordinator, whose requests and actors are not waited for once `hurry` has
    /// ended. What still runs is killed, and reported at the next start.
    pub async fn close(self, hurry: impl Future<Output = ()>) {
        let Self {
            coordinator,
            agent,
            url_file,
        } = self;
        agent.close().await;
        // As long as the nexus is held, no successor has written its own.
        url_file.remove();
        let left = coordinator.stop(hurry).await;
        for path in left {
            tracing::error!(%path, "an actor does not end");
        }
    }
}

/// Where the command line finds this coordinator, while it is there.
struct UrlFile {
    path: PathBuf,
    url: String,
}

impl UrlFile {
    /// Writes it so that it appears whole.
    fn write(&self) -> io::Result<()> {
        let draft = self.path.with_extension("draft");
        fs::write(&draft, format!("{}\n", self.url))?;
        fs::rename(&draft, &self.path)
    }

    /// Removes it unless it leads somewhere else.
    fn remove(&self) {
        let removed = fs::read_to_string(&self.path).and_then(|text| match text.trim() == self.url {
            true => fs::remove_file(&self.path),
            false => Ok(()),
        });
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the URL file stays");
            }
            Ok(()) | Err(_) => {}
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
