//! The composition root of a coordinator: the one place that chooses a nexus, opens the socket and draws randomness.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use coordinator::{Access, Coordinator, LeaseSeal, Parts};
use ledger::{Ledger, LedgerError};
use nexus::{Clock, Nexus, SqliteNexus, TxId};
use supervision::{Exit, Tree, TreePath};
use tokio::net::TcpListener;
use vault::Vault;

use crate::tokens::{Tokens, TokensError};
use crate::tree;

/// How long running requests may take to end when the process stops.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// What a coordinator is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where truth lives.
    pub nexus: NexusUrl,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The directory of the vault and the tokens.
    pub data: PathBuf,
    /// Settings of the coordinator itself.
    pub coordinator: coordinator::Config,
}

/// Which nexus to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NexusUrl {
    /// `sqlite:PATH`: the embedded one.
    Sqlite(PathBuf),
}

/// A text that names no nexus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no nexus: write it like sqlite:/var/lib/hiveforge/nexus.db")]
pub struct NotANexus(pub String);

impl FromStr for NexusUrl {
    type Err = NotANexus;

    fn from_str(text: &str) -> Result<Self, NotANexus> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            _ => Err(NotANexus(text.to_owned())),
        }
    }
}

/// A coordinator that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made.
    #[error("cannot make the data directory {}", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: std::io::Error,
    },
    /// The nexus cannot be opened.
    #[error("cannot open the nexus")]
    Nexus(#[from] nexus::OpenError),
    /// The nexus was opened, but does not answer.
    #[error("cannot read the lease key")]
    LeaseKey(#[source] LedgerError),
    /// The vault cannot be opened.
    #[error("cannot open the vault")]
    Vault(#[from] vault::VaultError),
    /// The tokens cannot be read or made.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The socket cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's words.
        #[source]
        source: std::io::Error,
    },
    /// The operating system has no randomness.
    #[error("cannot get random numbers")]
    NoRandomness,
    /// An actor did not start.
    #[error("cannot start the tree")]
    Tree(#[from] supervision::StartError),
}

/// A running coordinator.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    tree: Tree,
    coordinator: Arc<Coordinator>,
    nexus: Arc<dyn Nexus>,
}

/// Starts a coordinator: nexus, vault, tokens, socket, tree, in this order.
///
/// # Errors
/// The first of them that fails; what was opened before is closed.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let Config {
        nexus: url,
        listen,
        data,
        coordinator: settings,
    } = config;
    make_private(&data)?;
    let tokens = Tokens::open(&data)?;
    let nexus = open_nexus(&url)?;
    let fresh = random_bytes()?;
    let key = ledger::system::lease_key(nexus.as_ref(), tx_id(), fresh)
        .await
        .map_err(StartError::LeaseKey)?;
    let pool = "default".parse().expect("the default pool's name is a pool name");
    let parts = Parts {
        ledger: Ledger::new(Arc::clone(&nexus), pool, Arc::new(tx_id)),
        vault: Vault::open(data.join("vault"))?.with_blob_bytes_max(coordinator::BLOB_BYTES_MAX),
        access: Access::new(&tokens.admin, &tokens.join),
        seal: LeaseSeal::new(key),
        config: settings,
    };
    let listening = |source| StartError::Listen {
        address: listen,
        source,
    };
    let listener = TcpListener::bind(listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    let coordinator = Coordinator::new(parts);
    let tree = Tree::start("coordinator", tree(&coordinator, Arc::new(listener))).await?;
    tracing::info!(%address, "the coordinator listens");
    Ok(Running {
        address,
        tree,
        coordinator,
        nexus,
    })
}

impl Running {
    /// Waits until the tree has ended by itself, which is a failure, and says why.
    pub async fn exited(&self) -> Exit {
        self.tree.exited().await
    }

    /// Stops: no new requests, running ones may end, then the actors in reverse order, then the nexus. Bounded by
    /// `limit` and a few seconds. Returns the actors that did not end.
    pub async fn stop(&self, limit: Duration) -> Vec<TreePath> {
        let cut_off = self.coordinator.connections.close(CLOSE_MAX.min(limit)).await;
        if cut_off > 0 {
            tracing::warn!(cut_off, "requests were cut off");
        }
        let abandoned = self.tree.stop(limit).await;
        if let Err(error) = self.nexus.close().await {
            tracing::error!(%error, "the nexus was not closed");
        }
        abandoned
    }
}

/// Makes a directory that only its owner can enter.
fn make_private(path: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|source| StartError::Data {
        path: path.to_owned(),
        source,
    })
}

fn open_nexus(url: &NexusUrl) -> Result<Arc<dyn Nexus>, StartError> {
    match url {
        NexusUrl::Sqlite(path) => Ok(Arc::new(SqliteNexus::open(path, Clock::system())?)),
    }
}

fn random_bytes() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| StartError::NoRandomness)?;
    Ok(bytes)
}

/// A transaction id of 64 random bits.
fn tx_id() -> TxId {
    TxId(getrandom::u64().expect("the operating system gave random numbers when the coordinator started"))
}
