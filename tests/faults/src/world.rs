//! One world: a coordinator over SQLite, an agent with real processes, and a faulty wire between them.
//!
//! The parts are put together as the composition roots do it, except that the nexus and the wire can be struck and that
//! both trees can be reached. A part may die, as with its process, and be started again on the same files.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::Station;
use anyhow::{Context as _, Result, ensure};
use coordinator::{Access, Coordinator, LeaseSeal, ObservedTree, Parts};
use executor::{ProcessExecutor, Spawner};
use ledger::Ledger;
use mesh::{Mesh, Peers};
use nexus::{Clock, Nexus as _, SqliteNexus, TxId};
use supervision::{Directory, Place, Tree, places};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::timeout;
use vault::Vault;

use crate::jobs::Stage;
use crate::nexus::{Calls, FaultyNexus};
use crate::proxy::Proxy;
use crate::wait::{unlocked, until};

/// What a person shows.
pub const ADMIN: &str = "token-of-a-person";
/// What the agent shows.
const JOIN: &str = "token-of-an-agent";
/// The agent's name.
pub const AGENT: &str = "forge";
/// Runs at once.
pub const SLOTS: usize = 2;
/// How long anything may take to end.
const END_MAX: Duration = Duration::from_secs(10);
/// How long open requests may take to end with their coordinator.
const REQUESTS_END_MAX: Duration = Duration::from_millis(200);

/// The files of a world and all that runs on them.
pub struct World {
    pub coordinator: Coordinating,
    pub proxy: Proxy,
    pub agent: Working,
    pub stage: Stage,
    pub files: TempDir,
    plan: Plan,
}

/// How the trees of a world are prepared.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which calls to the nexus can be struck.
    pub calls: Calls,
    /// How long an actor may take for a message; as its spec says, if absent.
    pub handling_max: Option<Duration>,
}

/// A coordinator.
pub struct Coordinating {
    pub tree: Tree,
    pub nexus: Arc<FaultyNexus>,
    places: Vec<Place>,
    address: SocketAddr,
    coordinator: Arc<Coordinator>,
}

/// An agent.
pub struct Working {
    pub tree: Tree,
    pub station: Arc<Station>,
    places: Vec<Place>,
}

impl World {
    /// Starts everything.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(plan: Plan) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let at = |part: &str| files.path().join(part);
        ["coordinator", "agent", "stage"]
            .iter()
            .try_for_each(|part| std::fs::create_dir(at(part)))?;
        let coordinator = Coordinating::start(&at("coordinator"), plan).await?;
        let proxy = Proxy::start(coordinator.address).await?;
        let agent = Working::start(&at("agent"), proxy.address, plan, |_| Ok(())).await?;
        Ok(Self {
            coordinator,
            proxy,
            agent,
            stage: Stage::new(&at("stage")),
            files,
            plan,
        })
    }

    /// Ends the agent as a kill of its process would, and starts another on its files, with `prepare` done to the directory
    /// of its tree before anything is in it.
    ///
    /// # Errors
    /// It does not end, or the other one does not start.
    pub async fn restart_agent(self, prepare: impl FnOnce(&Directory) -> Result<()>) -> Result<Self> {
        self.agent.end(End::Death).await?;
        let data = self.files.path().join("agent");
        let agent = Working::start(&data, self.proxy.address, self.plan, prepare).await?;
        Ok(Self { agent, ..self })
    }

    /// Ends the coordinator as a kill of its process would, and starts another on its files.
    ///
    /// # Errors
    /// It does not end, or the other one does not start.
    pub async fn restart_coordinator(self) -> Result<Self> {
        self.coordinator.end(End::Death).await?;
        let data = self.files.path().join("coordinator");
        let coordinator = Coordinating::start(&data, self.plan).await?;
        self.proxy.redirect(coordinator.address);
        Ok(Self { coordinator, ..self })
    }

    /// The places of both trees, known before anything runs in them.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.coordinator.places.iter().chain(&self.agent.places)
    }

    /// Stops everything in order, and returns the files.
    ///
    /// # Errors
    /// Something does not end.
    pub async fn end(self) -> Result<TempDir> {
        self.agent.end(End::Stop).await?;
        self.coordinator.end(End::Stop).await?;
        Ok(self.files)
    }
}

impl Coordinating {
    async fn start(data: &Path, plan: Plan) -> Result<Self> {
        let database = data.join("nexus.db");
        let store = unlocked(async || Ok(SqliteNexus::open(&database, Clock::system())?)).await?;
        let nexus = Arc::new(FaultyNexus::new(Arc::new(store), plan.calls));
        let directory = plan.directory();
        let observed = ObservedTree {
            name: "coordinator",
            directory: directory.clone(),
        };
        let tx_ids = Arc::new(|| TxId(getrandom::u64().expect("random numbers")));
        let vault = Vault::open(data.join("vault"))?.with_blob_bytes_max(coordinator::BLOB_BYTES_MAX);
        let mesh = Mesh::open(mesh_without_peers(data)?, getrandom::u64()?).await?;
        let coordinator = Coordinator::over_its_own(Parts {
            ledger: Ledger::new(Arc::clone(&nexus) as _, "default".parse()?, tx_ids),
            vault,
            access: Access::new(ADMIN, JOIN),
            seal: LeaseSeal::new([7; 32]),
            config: coordinator::Config::default(),
            trees: vec![observed],
            link: Some(mesh.link()),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let spec = coordinator_tree::meshed_tree(&coordinator, Arc::new(listener), mesh);
        let places = places("coordinator", &spec);
        let tree = Tree::start_in("coordinator", spec, &directory).await?;
        Ok(Self {
            tree,
            nexus,
            places,
            address,
            coordinator,
        })
    }

    async fn end(self, end: End) -> Result<()> {
        let Self {
            tree,
            nexus,
            coordinator,
            ..
        } = self;
        match end {
            End::Stop => {
                coordinator.connections.close(REQUESTS_END_MAX).await;
                end.of(tree).await?;
            }
            End::Death => {
                end.of(tree).await?;
                // What is in the middle of an answer may not survive the store, and has nobody to answer for it.
                coordinator.connections.close(REQUESTS_END_MAX).await;
            }
        }
        timeout(END_MAX, nexus.close())
            .await
            .context("close the nexus")??;
        Ok(())
    }
}

/// Its peers would be in other processes; what goes wrong between peers is shown in `crates/mesh/tests`.
fn mesh_without_peers(data: &Path) -> Result<mesh::Config> {
    let cookie = data.join("mesh.cookie");
    if !cookie.exists() {
        std::fs::write(&cookie, "a-cookie-for-nobody".repeat(2))?;
        std::fs::set_permissions(&cookie, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(mesh::Config {
        name: "alone".to_owned(),
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        peers: Peers::Listed(Vec::new()),
        tls: None,
        cookie,
    })
}

impl Working {
    async fn start(
        data: &Path,
        coordinator: SocketAddr,
        plan: Plan,
        prepare: impl FnOnce(&Directory) -> Result<()>,
    ) -> Result<Self> {
        let config = agent::Config::from_toml(&format!(
            "coordinators = [\"http://{coordinator}\"]\njoin_token = \"{JOIN}\"\nname = \"{AGENT}\"\n\
             data = \"{}\"\nslots = {SLOTS}\n",
            data.display()
        ))?;
        let executor = Arc::new(ProcessExecutor::new(Spawner::new(SLOTS)?)?);
        let station = unlocked(async || Ok(Station::open(&config, Arc::clone(&executor) as _)?)).await?;
        let directory = plan.directory();
        prepare(&directory)?;
        let spec = agent_tree::tree(&station);
        let places = places("agent", &spec);
        let tree = Tree::start_in("agent", spec, &directory).await?;
        Ok(Self {
            tree,
            station,
            places,
        })
    }

    /// Nobody is told, and what runs dies.
    async fn end(self, end: End) -> Result<()> {
        let Self { tree, station, .. } = self;
        end.of(tree).await?;
        let mut connection = station.connection.subscribe();
        drop(station);
        // The sender goes with the station, when the last of the actors' parts has let go of it.
        let gone = async { while connection.changed().await.is_ok() {} };
        timeout(END_MAX, gone)
            .await
            .context("wait for the end of the station")
    }
}

/// How a tree ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its actors are asked to stop, one after the other.
    Stop,
    /// All are killed, as with their process: nobody's stop runs.
    Death,
}

impl End {
    async fn of(self, tree: Tree) -> Result<()> {
        if self == Self::Stop {
            let left = tree.stop(END_MAX).await;
            ensure!(left.is_empty(), "actors do not end: {left:?}");
            return Ok(());
        }
        let directory = tree.directory();
        drop(tree);
        until("all actors are dead", || directory.list().is_empty()).await
    }
}

impl Plan {
    fn directory(self) -> Directory {
        let directory = Directory::new();
        if let Some(limit) = self.handling_max {
            directory.faults().limit_handlers(limit);
        }
        directory
    }
}
