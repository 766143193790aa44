//! An actor stuck in synchronous code: it cannot be killed, and nobody waits for it for ever.
//!
//! Real time and real threads, since a stuck actor takes its thread with it; each case costs one kill grace, a second.

use std::sync::mpsc;
use std::time::Duration;

use supervision::{Actor, ActorState, ChildSpec, Ctx, Failure, Handle, Shutdown, Strategy, Tree};

use crate::probe::{Child, Log, Msg, SECOND, eventually, tree};

/// Blocks its thread until the sender is dropped.
struct Stuck;

impl Actor for Stuck {
    type Msg = mpsc::Receiver<()>;
    type State = ();

    async fn start(&self, _: &Ctx<Self::Msg>) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, _: &Ctx<Self::Msg>, blocker: Self::Msg, (): &mut ()) -> Result<(), Failure> {
        blocker.recv().unwrap_err();
        Ok(())
    }
}

fn stuck_child(handle: &Handle<mpsc::Receiver<()>>) -> ChildSpec {
    ChildSpec::worker("stuck", handle, || Stuck).shutdown(Shutdown::Timeout(Duration::from_millis(10)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stuck_child_is_abandoned_and_the_stop_goes_on() {
    let log = Log::default();
    let (first, stuck) = (Child::new("a", &log), Handle::new("stuck", 1));
    let tree = Tree::start(
        "root",
        tree(Strategy::OneForOne, 1, [&first]).child(stuck_child(&stuck)),
    )
    .await
    .unwrap();
    let (release, blocker) = mpsc::channel();
    stuck.try_tell(blocker).unwrap();
    eventually(async || (stuck.depth() == 0).then_some(())).await;
    let directory = tree.directory();
    let abandoned: Vec<_> = tree
        .stop(30 * SECOND)
        .await
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(abandoned, ["root/stuck"]);
    assert_eq!(log.take(), "+a -a");
    assert_eq!(directory.find("root/stuck").unwrap().state, ActorState::Abandoned);
    drop(release);
    eventually(async || directory.find("root/stuck").is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_id_of_a_stuck_child_is_free_when_it_is_deleted() {
    let log = Log::default();
    let (first, stuck) = (Child::new("a", &log), Handle::new("stuck", 1));
    let spec = tree(Strategy::OneForOne, 1, [&first]).child(stuck_child(&stuck));
    let tree = Tree::start("root", spec).await.unwrap();
    let (release, blocker) = mpsc::channel();
    stuck.try_tell(blocker).unwrap();
    eventually(async || (stuck.depth() == 0).then_some(())).await;
    tree.terminate_child("root", "stuck").await.unwrap();
    tree.delete_child("root", "stuck").await.unwrap();
    assert_eq!(tree.start_child("root", stuck_child(&stuck)).await, Ok(()));
    drop(release);
    // The blocked thread has to wake before its actor is gone.
    let gone = async || {
        let list = tree.directory().list();
        (list.len() == 3 && list.iter().all(|actor| actor.state == ActorState::Running)).then_some(())
    };
    eventually(gone).await;
    assert_eq!(tree.stop(30 * SECOND).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_successor_takes_the_place_of_a_stuck_child() {
    let log = Log::default();
    let (first, stuck) = (Child::new("a", &log), Handle::new("stuck", 1));
    let tree = Tree::start(
        "root",
        tree(Strategy::OneForAll, 1, [&first]).child(stuck_child(&stuck)),
    )
    .await
    .unwrap();
    let (release, blocker) = mpsc::channel();
    stuck.try_tell(blocker).unwrap();
    eventually(async || (stuck.depth() == 0).then_some(())).await;
    first.tell(Msg::Fail);
    assert_eq!(first.reborn_after(1).await, 2);
    let directory = tree.directory();
    eventually(async || directory.find("root/stuck").filter(|now| now.incarnation == 2)).await;
    drop(release);
    // The late end of the first life changes nothing for the second.
    let only_one = || {
        directory
            .list()
            .iter()
            .filter(|actor| actor.path.as_str() == "root/stuck")
            .count()
            == 1
    };
    eventually(async || only_one().then_some(())).await;
    assert_eq!(stuck.try_tell(mpsc::channel().1), Ok(()));
    assert_eq!(tree.stop(30 * SECOND).await, []);
}
