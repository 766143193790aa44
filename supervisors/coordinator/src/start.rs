//! The composition root of a coordinator: the one place that chooses a nexus, opens the socket and draws randomness.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coordinator::{Access, Coordinator, Inspection, LeaseSeal, ObservedTree, Parts};
use ledger::{Disagreement, Ledger};
use mesh::{Link, Mesh};
use nexus::{Nexus, TxId};
use supervision::{Directory, Tree};
use tokio::net::TcpListener;
use vault::Vault;

use crate::mesh_config::{MeshConfig, MeshConfigError};
use crate::nexus_config::{NexusConfig, NexusConfigError};
use crate::nexus_url::NexusUrl;
use crate::running::Running;
use crate::telling::Telling;
use crate::tokens::{
    self, ADMIN_PREFIX, ADMIN_TOKEN_FILE, JOIN_PREFIX, JOIN_TOKEN_FILE, Tokens, TokensError,
};
use crate::{meshed_tree, tree};

/// The name of its tree.
const TREE: &str = "coordinator";

/// What a coordinator is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where truth lives.
    pub nexus: NexusConfig,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The directory of the vault and the tokens, as far as they are nowhere else.
    pub data: PathBuf,
    /// The vault. Coordinators of one nexus share one.
    pub vault: Option<PathBuf>,
    /// A file with the admin token. Coordinators of one nexus share one.
    pub admin_token_file: Option<PathBuf>,
    /// A file with the join token. Coordinators of one nexus share one.
    pub join_token_file: Option<PathBuf>,
    /// The link to the other coordinators of one nexus, if there is to be one.
    pub mesh: Option<MeshConfig>,
    /// Settings of the coordinator itself.
    pub coordinator: coordinator::Config,
}

impl Config {
    /// Everything in one directory, the embedded nexus too.
    pub fn alone(data: PathBuf, listen: SocketAddr, coordinator: coordinator::Config) -> Self {
        Self {
            nexus: NexusConfig::at(NexusUrl::Sqlite(data.join("nexus.db"))),
            listen,
            data,
            vault: None,
            admin_token_file: None,
            join_token_file: None,
            mesh: None,
            coordinator,
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
    Nexus(#[from] NexusConfigError),
    /// The nexus must not be used, and waiting cannot change that.
    #[error(transparent)]
    Refused(Disagreement),
    /// The nexus was opened, but takes no writes.
    #[error("cannot use the nexus: {0}")]
    Halted(String),
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
    /// The mesh cannot be opened.
    #[error("cannot open the mesh")]
    Mesh(#[from] MeshConfigError),
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
    let tokens = tokens(&config)?;
    let vault = config.vault.clone().unwrap_or_else(|| config.data.join("vault"));
    let nexus = config.nexus.open()?;
    let mesh = open_mesh(&config).await?;
    let link = mesh.as_ref().map(Mesh::link);
    let directory = Directory::new();
    let own = ObservedTree {
        name: TREE,
        directory: directory.clone(),
    };
    let pool = "default".parse().expect("the default pool's name is a pool name");
    let coordinator = Coordinator::new(Parts {
        ledger: Ledger::new(told(&nexus, link.as_ref()), pool, Arc::new(tx_id)),
        vault: Vault::open(vault)?.with_blob_bytes_max(coordinator::BLOB_BYTES_MAX),
        access: Access::new(&tokens.admin, &tokens.join),
        seal: LeaseSeal::new(random_bytes()?),
        config: config.coordinator,
        trees: std::iter::once(own).chain(beside).collect(),
        link,
    });
    let listening = |source| StartError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    match coordinator.inspect().await {
        Inspection::Refused(why) if why.is_final() => return Err(StartError::Refused(why)),
        Inspection::Halted(why) => return Err(StartError::Halted(why)),
        // Everything starts all the same, and is ready as soon as the nexus is.
        Inspection::Passed | Inspection::Away(_) | Inspection::Refused(_) => {}
    }
    let listener = Arc::new(listener);
    let spec = match mesh {
        Some(mesh) => meshed_tree(&coordinator, listener, mesh),
        None => tree(&coordinator, listener),
    };
    let tree = Tree::start_in(TREE, spec, &directory).await?;
    tracing::info!(%address, "the coordinator listens");
    Ok(Running {
        address,
        tree,
        coordinator,
        nexus,
    })
}

async fn open_mesh(config: &Config) -> Result<Option<Mesh>, StartError> {
    let Some(mesh) = &config.mesh else { return Ok(None) };
    let process = getrandom::u64().map_err(|_| StartError::NoRandomness)?;
    make_private(&config.data)?;
    let mesh = mesh.open(&config.data, process).await?;
    tracing::info!(address = %mesh.address(), "the mesh listens");
    Ok(Some(mesh))
}

/// The nexus, which tells the mesh what it does if there is one.
fn told(nexus: &Arc<dyn Nexus>, link: Option<&Link>) -> Arc<dyn Nexus> {
    match link {
        Some(link) => Arc::new(Telling::new(Arc::clone(nexus), link.clone())),
        None => Arc::clone(nexus),
    }
}

/// The tokens: from the files that are named, the others from the data directory, where they are made if they are missing.
fn tokens(config: &Config) -> Result<Tokens, StartError> {
    let in_data = |file: &str| -> Result<PathBuf, StartError> {
        make_private(&config.data)?;
        Ok(config.data.join(file))
    };
    Ok(Tokens {
        admin: match &config.admin_token_file {
            Some(file) => tokens::read(file)?,
            None => tokens::open(&in_data(ADMIN_TOKEN_FILE)?, ADMIN_PREFIX)?,
        },
        join: match &config.join_token_file {
            Some(file) => tokens::read(file)?,
            None => tokens::open(&in_data(JOIN_TOKEN_FILE)?, JOIN_PREFIX)?,
        },
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

fn random_bytes() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| StartError::NoRandomness)?;
    Ok(bytes)
}

/// A transaction id of 64 random bits.
fn tx_id() -> TxId {
    TxId(getrandom::u64().expect("the operating system gave random numbers when the coordinator started"))
}
