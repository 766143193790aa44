//! The tree as it is drawn for people, made from the value that is started.

#![expect(clippy::unwrap_used, reason = "a test stops at a surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use coordinator::{Access, Config, Coordinator, LeaseSeal, Parts};
use ledger::Ledger;
use mesh::Mesh;
use nexus::{Clock, MemoryNexus, TxId};
use tokio::net::TcpListener;
use vault::Vault;

#[tokio::test]
async fn the_tree_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let nexus = Arc::new(MemoryNexus::new(Clock::system()));
    let coordinator = Coordinator::new(Parts {
        ledger: Ledger::new(nexus, "default".parse().unwrap(), Arc::new(|| TxId(1))),
        vault: Vault::open(dir.path()).unwrap(),
        access: Access::new("a", "b"),
        seal: LeaseSeal::new([0; 32]),
        config: Config::default(),
        trees: Vec::new(),
        link: None,
    });
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let tree = hiveforge_supervisors_coordinator::tree(&coordinator, Arc::clone(&listener));
    insta::assert_snapshot!(supervision::draw("coordinator", &tree));
    let mesh = mesh(dir.path()).await;
    let tree = hiveforge_supervisors_coordinator::meshed_tree(&coordinator, listener, mesh);
    insta::assert_snapshot!("meshed", supervision::draw("coordinator", &tree));
}

async fn mesh(dir: &Path) -> Mesh {
    let cookie = dir.join("cookie");
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
