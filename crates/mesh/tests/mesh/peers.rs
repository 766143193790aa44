//! Who can be reached: peers that come, hang, wake up, die and come back.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cluster::{Cluster, Settings, until};

#[test]
fn three_find_each_other_and_none_lists_itself() {
    let cluster = Cluster::new(&["a", "b", "c"]);
    let mut members = ["a", "b", "c"].map(|name| cluster.start(name));
    for (member, others) in members.iter_mut().zip([["b", "c"], ["a", "c"], ["a", "b"]]) {
        others.iter().for_each(|other| member.wait_for(other));
        // Who has dialled first is known by its name before it is known at which address it is.
        until("the names alone", || {
            let listed: Vec<String> = member.peers().into_keys().collect();
            if listed == others {
                Ok(())
            } else {
                Err(format!("{listed:?}"))
            }
        });
    }
}

#[test]
fn who_dials_is_known_to_whom_it_dialled() {
    let cluster = Cluster::new(&["a", "b"]);
    let nobody = Some(String::new());
    let mut a = cluster.start_with(
        "a",
        Settings {
            peers: nobody,
            ..Settings::default()
        },
    );
    assert!(a.peers().is_empty());
    let mut b = cluster.start("b");
    b.wait_for("a");
    a.wait_for("b");
}

#[test]
fn a_peer_that_hangs_is_marked_within_seconds_and_is_back_when_it_wakes_up() {
    let cluster = Cluster::new(&["a", "b"]);
    let (mut a, mut b) = (cluster.start("a"), cluster.start("b"));
    a.wait_for("b");
    b.wait_for("a");
    b.freeze();
    let marked = a.wait_until("b", |state| state == "it does not answer");
    // A probe each second, and three seconds for its answer; the rest is for a busy machine.
    assert!(marked < Duration::from_secs(20), "{marked:?}");
    let (ms, answers) = a.observe("who");
    assert_eq!(answers["b"], "it does not answer");
    assert!(ms < 10_000, "nobody waits for who is known to be away: {ms} ms");
    b.signal(Signal::CONT);
    a.wait_for("b");
    b.wait_for("a");
    println!("marked after {marked:?}");
}

#[test]
fn a_peer_that_hangs_holds_up_a_question_no_longer_than_its_limit() {
    let cluster = Cluster::new(&["a", "b", "c"]);
    let mut members = ["a", "b", "c"].map(|name| cluster.start(name));
    let [a, b, _] = &mut members;
    ["b", "c"].iter().for_each(|name| a.wait_for(name));
    b.freeze();
    let begun = Instant::now();
    let (ms, answers) = a.observe("who");
    assert_eq!(answers["c"], "c: who");
    assert_ne!(answers["b"], "b: who");
    assert!(begun.elapsed() < Duration::from_secs(20), "{ms} ms");
}

#[test]
fn a_peer_that_was_killed_is_marked_and_dialled_again_after_its_restart() {
    let cluster = Cluster::new(&["a", "b"]);
    let (mut a, b) = (cluster.start("a"), cluster.start("b"));
    a.wait_for("b");
    b.kill();
    a.wait_until("b", |state| state != "up");
    // It does not know whom to dial, so the one that lost it has to.
    let nobody = Some(String::new());
    let mut b = cluster.start_with(
        "b",
        Settings {
            peers: nobody,
            ..Settings::default()
        },
    );
    a.wait_for("b");
    b.wait_for("a");
    assert_eq!(a.observe("who").1["b"], "b: who");
}

#[test]
fn who_was_never_there_is_listed_by_its_address_and_why() {
    let cluster = Cluster::new(&["a", "b"]);
    let mut a = cluster.start("a");
    let address = cluster.address("b");
    a.wait_until(&address, |why| why.contains("cannot connect"));
    let (_, answers) = a.observe("who");
    assert!(answers[&address].contains("cannot connect"), "{answers:?}");
}

#[test]
fn a_name_is_looked_up_and_what_it_means_is_dialled() {
    let cluster = Cluster::new(&["a"]);
    let nobody = Some(String::new());
    let mut a = cluster.start_with(
        "a",
        Settings {
            peers: nobody,
            ..Settings::default()
        },
    );
    let host = cluster.address("a");
    let other = Cluster::new(&["b"]);
    let peers = Some(format!("dns:{host}"));
    let mut b = other.start_with(
        "b",
        Settings {
            peers,
            ..Settings::default()
        },
    );
    b.wait_for("a");
    a.wait_for("b");
}

#[test]
fn the_library_under_the_mesh_may_be_killed_and_comes_back() {
    let cluster = Cluster::new(&["a", "b"]);
    let (mut a, mut b) = (cluster.start("a"), cluster.start("b"));
    for actor in ["node", "clerk", "courier", "scout", "gate"] {
        a.wait_for("b");
        b.wait_for("a");
        assert!(
            a.tell::<bool>(&format!("kill coordinator/mesh/{actor}")),
            "{actor}"
        );
        until("an answer", || match b.observe("who").1.get("a") {
            Some(answer) if answer == "a: who" => Ok(()),
            other => Err(format!("after a kill of {actor}: {other:?}")),
        });
    }
    assert_eq!(a.tell::<usize>("restarts"), 0);
}
