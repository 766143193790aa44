//! One running coordinator with everything around it, and the two kinds of callers.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::{JobId, JobSpec};
use hiveforge_coordinator::{Access, Config, Coordinator, LeaseSeal, ObservedTree, Parts};
use ledger::Ledger;
use nexus::{Clock, MemoryNexus, Nexus, TxId};
use protocol::client::{Client, Options};
use protocol::jobs::{JobView, Submitted};
use supervision::{Directory, Tree};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use vault::Vault;

/// What a person shows.
pub(crate) const ADMIN: &str = "token-of-a-person";
/// What an agent shows.
pub(crate) const JOIN: &str = "token-of-an-agent";
/// How long anything may take that should happen at once. Generous, for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    /// As a person.
    pub(crate) person: Client,
    /// As an agent.
    pub(crate) machine: Client,
    pub(crate) vault: Vault,
    pub(crate) tree: Tree,
    pub(crate) coordinator: Arc<Coordinator>,
    pub(crate) vault_dir: TempDir,
}

impl World {
    /// A coordinator over an empty nexus in memory.
    pub(crate) async fn start() -> Self {
        Self::over(Arc::new(MemoryNexus::new(Clock::system()))).await
    }

    /// The same, and the nexus, to take it away.
    pub(crate) async fn with_nexus() -> (Self, Arc<MemoryNexus>) {
        let nexus = Arc::new(MemoryNexus::new(Clock::system()));
        (Self::over(Arc::clone(&nexus) as Arc<dyn Nexus>).await, nexus)
    }

    /// A coordinator over this nexus.
    pub(crate) async fn over(nexus: Arc<dyn Nexus>) -> Self {
        Self::with(nexus, Config::default()).await
    }

    pub(crate) async fn with(nexus: Arc<dyn Nexus>, config: Config) -> Self {
        Self::wired(nexus, config, Vec::new()).await
    }

    /// A coordinator that lets people look at these trees too.
    pub(crate) async fn beside(trees: Vec<ObservedTree>) -> Self {
        let nexus = Arc::new(MemoryNexus::new(Clock::system()));
        Self::wired(nexus, Config::default(), trees).await
    }

    async fn wired(nexus: Arc<dyn Nexus>, config: Config, beside: Vec<ObservedTree>) -> Self {
        let own = ObservedTree {
            name: "coordinator",
            directory: Directory::new(),
        };
        let directory = own.directory.clone();
        let vault_dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(vault_dir.path())
            .unwrap()
            .with_blob_bytes_max(1 << 20);
        let tx_ids = Arc::new(|| TxId(getrandom::u64().unwrap()));
        let coordinator = Coordinator::over_its_own(Parts {
            ledger: Ledger::new(nexus, "default".parse().unwrap(), tx_ids),
            vault: vault.clone(),
            access: Access::new(ADMIN, JOIN),
            seal: LeaseSeal::new([7; 32]),
            config,
            trees: std::iter::once(own).chain(beside).collect(),
            link: None,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let spec = coordinator_tree::tree(&coordinator, Arc::new(listener));
        let tree = Tree::start_in("coordinator", spec, &directory).await.unwrap();
        let client = |token| Client::new([format!("http://{address}")], token).unwrap();
        Self {
            address,
            person: client(ADMIN),
            machine: client(JOIN),
            vault,
            tree,
            coordinator,
            vault_dir,
        }
    }

    /// Submits the simplest job.
    pub(crate) async fn submit(&self) -> JobId {
        self.submit_spec(&JobSpec::command(["true"])).await
    }

    pub(crate) async fn submit_spec(&self, spec: &JobSpec) -> JobId {
        let submitted: Submitted = self
            .person
            .post("/v1/jobs", spec, Options::default())
            .await
            .unwrap();
        submitted.id
    }

    pub(crate) async fn job(&self, id: &JobId) -> JobView {
        self.person
            .get(&format!("/v1/jobs/{id}"), Options::default())
            .await
            .unwrap()
    }
}

/// A spec from its JSON text.
pub(crate) fn spec(json: &str) -> JobSpec {
    JobSpec::from_json(json).unwrap()
}

/// Asks again and again until there is an answer; `what` is the complaint when there is none.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
