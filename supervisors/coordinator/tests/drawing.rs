//! The tree as it is drawn for people, made from the value that is started.

use std::sync::Arc;

use coordinator::{Access, Config, Coordinator, LeaseSeal, Parts};
use ledger::Ledger;
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
    });
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let tree = hiveforge_supervisors_coordinator::tree(&coordinator, listener);
    insta::assert_snapshot!(supervision::draw("coordinator", &tree));
}
