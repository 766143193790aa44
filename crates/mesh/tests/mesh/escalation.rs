//! The mesh never takes its coordinator with it, however often its actors fail.

use std::sync::Arc;
use std::time::Duration;

use mesh::{Config, Mesh, Reach};
use supervision::faults::{Fault, What, When};
use supervision::{Directory, Tree};
use tokio::time::{Instant, sleep};

use crate::cluster::{COOKIE, Cluster, Settings};
use crate::member::{Echo, start};

const ACTORS: [&str; 5] = ["clerk", "node", "courier", "scout", "gate"];
/// How often each of them fails.
const TIMES: u64 = 200;

#[tokio::test(start_paused = true)]
async fn a_thousand_crashes_in_the_mesh_are_no_restart_of_its_coordinator_and_the_mesh_is_back() {
    let cluster = Cluster::new(&["b"]);
    let config = Config {
        name: "a".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        peers: String::new().parse().unwrap(),
        tls: None,
        cookie: cluster.cookie(COOKIE),
    };
    let mesh = Mesh::open(config, 1).await.unwrap();
    let (link, address) = (mesh.link(), mesh.address());
    let tree = start(mesh, Arc::new(Echo::new("a"))).await;
    let directory = tree.directory();
    for n in 0..TIMES {
        for actor in ACTORS {
            fail(&directory, &format!("coordinator/mesh/{actor}"), n).await;
        }
    }
    let totals = directory.totals();
    let failures = totals.kills + totals.crashes + totals.failed_starts;
    assert!(failures >= TIMES * ACTORS.len() as u64, "{totals:?}");
    assert_eq!(totals.gave_up, 0);
    assert_calm(&tree);
    // The other one lives in real time.
    tokio::time::resume();
    let peers = Some(address.to_string());
    let b = cluster.start_with(
        "b",
        Settings {
            peers,
            ..Settings::default()
        },
    );
    wait(|| {
        link.peers()
            .iter()
            .any(|peer| matches!(peer.reach, Reach::Up { .. }))
    })
    .await;
    let heard = link.observe_all(b"who", Duration::from_secs(30)).await;
    assert_eq!(heard[0].answer.as_deref(), Ok(b"b: who".as_slice()));
    drop(b);
    assert!(tree.stop(Duration::from_secs(10)).await.is_empty());
}

/// Ends one life of an actor, in one of three ways, and waits for the next one.
async fn fail(directory: &Directory, path: &str, n: u64) {
    let is_up = || directory.find(path).map(|actor| actor.incarnation);
    wait(|| is_up().is_some()).await;
    let life = is_up();
    match n % 3 {
        // Not at a message: the courier and the clerk have none.
        0 => {
            let fault = Fault {
                path: path.to_owned(),
                when: When::Start,
                what: What::Panic,
            };
            directory.faults().inject(fault).unwrap();
            assert!(directory.kill(path));
        }
        _ => assert!(directory.kill(path)),
    }
    wait(|| is_up().is_some_and(|now| Some(now) != life)).await;
}

/// The coordinator's root has counted nothing, and the mesh's supervisor is in its first life.
fn assert_calm(tree: &Tree) {
    let directory = tree.directory();
    let root = directory.find("coordinator").unwrap();
    assert_eq!(root.window.unwrap().restarts, 0);
    assert_eq!(directory.find("coordinator/mesh").unwrap().incarnation, 1);
}

async fn wait(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain");
        sleep(Duration::from_millis(10)).await;
    }
}
