//! The composition root of a coordinator: the one place that chooses a nexus, opens the socket and draws randomness.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use coordinator::{Access, Coordinator, LeaseSeal, NEXUS_CALL_MAX, ObservedTree, Parts};
use ledger::{Ledger, LedgerError};
use nexus::{Clock, Limited, Nexus, SqliteNexus, TxId};
use supervision::{Directory, Tree};
use tokio::net::TcpListener;
use vault::Vault;

use crate::running::Running;
use crate::tokens::{Tokens, TokensError};
use crate::tree;

/// The name of its tree.
const TREE: &str = "coordinator";

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

/// Starts a coordinator: nexus, vault, tokens, socket, tree, in this order.
///
/// # Errors
/// The first of them that fails; what was opened before is closed.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_beside(config, Vec::new()).await
}

/// Starts a coordinator that lets people look at the trees beside its own, too.
///
/// # Errors
/// As for [`start`].
pub async fn start_beside(config: Config, beside: Vec<ObservedTree>) -> Result<Running, StartError> {
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
    // A nexus that hangs is one that does not answer, here as later.
    let in_time = Limited::new(Arc::clone(&nexus), NEXUS_CALL_MAX);
    let key = ledger::system::lease_key(&in_time, tx_id(), fresh)
        .await
        .map_err(StartError::LeaseKey)?;
    let pool = "default".parse().expect("the default pool's name is a pool name");
    let directory = Directory::new();
    let own = ObservedTree {
        name: TREE,
        directory: directory.clone(),
    };
    let parts = Parts {
        ledger: Ledger::new(Arc::clone(&nexus), pool, Arc::new(tx_id)),
        vault: Vault::open(data.join("vault"))?.with_blob_bytes_max(coordinator::BLOB_BYTES_MAX),
        access: Access::new(&tokens.admin, &tokens.join),
        seal: LeaseSeal::new(key),
        config: settings,
        trees: std::iter::once(own).chain(beside).collect(),
    };
    let listening = |source| StartError::Listen {
        address: listen,
        source,
    };
    let listener = TcpListener::bind(listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    let coordinator = Coordinator::new(parts);
    let tree = Tree::start_in(TREE, tree(&coordinator, Arc::new(listener)), &directory).await?;
    tracing::info!(%address, "the coordinator listens");
    Ok(Running {
        address,
        tree,
        coordinator,
        nexus,
    })
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
