//! The drawing of both trees in `supervisors/README.md`, from the values that are started.
//!
//! `HIVEFORGE_UPDATE_DOCS=1` rewrites it.
#![expect(clippy::unwrap_used, reason = "a test stops at a surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::Station;
use agent::config::JoinToken;
use coordinator::{Access, Coordinator, LeaseSeal, Parts};
use executor::fake::{FakeExecutor, Script};
use ledger::Ledger;
use mesh::Mesh;
use nexus::{Clock, MemoryNexus, TxId};
use tokio::net::TcpListener;
use vault::Vault;

const BEGIN: &str = "<!-- generated: trees -->\n";
const END: &str = "<!-- end -->";

#[tokio::test]
async fn the_page_shows_the_trees_that_are_started() {
    let data = tempfile::tempdir().unwrap();
    let nexus = Arc::new(MemoryNexus::new(Clock::system()));
    let coordinator = Coordinator::new(Parts {
        ledger: Ledger::new(nexus, "default".parse().unwrap(), Arc::new(|| TxId(1))),
        vault: Vault::open(data.path().join("vault")).unwrap(),
        access: Access::new("a", "b"),
        seal: LeaseSeal::new([0; 32]),
        config: coordinator::Config::default(),
        trees: Vec::new(),
        link: None,
    });
    let listener = Arc::new(TcpListener::bind(("127.0.0.1", 0)).await.unwrap());
    let mesh = mesh(data.path()).await;
    let tree = coordinator_tree::meshed_tree(&coordinator, listener, mesh);
    let coordinator = supervision::draw("coordinator", &tree);
    let config = agent::Config {
        coordinators: vec!["http://127.0.0.1:1".to_owned()],
        join_token: JoinToken("t".to_owned()),
        name: "drawn".parse().unwrap(),
        data: data.path().join("agent"),
        slots: Some(2),
        labels: [].into(),
        cpus: None,
        memory: None,
        once: false,
        drain_limit: None,
    };
    let executor = FakeExecutor::new(|_| Ok(Script::default()));
    let station = Station::open(&config, Arc::new(executor)).unwrap();
    let agent = supervision::draw("agent", &agent_tree::tree(&station));
    check(&format!(
        "```\n{}\n\n{}\n```\n",
        coordinator.trim_end(),
        agent.trim_end()
    ));
}

async fn mesh(data: &Path) -> Mesh {
    let cookie = data.join("cookie");
    fs::write(&cookie, "x".repeat(32)).unwrap();
    fs::set_permissions(&cookie, fs::Permissions::from_mode(0o600)).unwrap();
    let config = mesh::Config {
        name: "drawn".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        peers: mesh::Peers::Listed(Vec::new()),
        tls: None,
        cookie,
    };
    Mesh::open(config, 1).await.unwrap()
}

/// Compares the page's generated part, or rewrites it.
fn check(drawn: &str) {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let page = root.parent().unwrap().join("README.md");
    let text = fs::read_to_string(&page).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let wanted = format!("{head}{BEGIN}{drawn}{END}{tail}");
    if std::env::var_os("HIVEFORGE_UPDATE_DOCS").is_some() {
        fs::write(&page, &wanted).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&page).unwrap(),
        wanted,
        "run again with HIVEFORGE_UPDATE_DOCS=1"
    );
}
