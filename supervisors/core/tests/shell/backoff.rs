//! Restarts that wait.
//!
//! Time is virtual: who waits, and how long, is asserted to the millisecond.

use std::time::Duration;

use supervision::{
    Backoff, ChildError, ChildSpec, ChildStatus, Exit, Restart, SpecError, StartError, Strategy, Tree,
};
use tokio::time::Instant;

use crate::probe::{Child, Log, Msg, SECOND, children, start, tree};

const BACKOFF: Backoff = Backoff {
    base: SECOND,
    max: Duration::from_secs(4),
    reset_after: Duration::from_secs(10),
};

fn slowly(child: &Child) -> ChildSpec {
    child.spec().backoff(BACKOFF)
}

/// Crashes the child and returns how long it was away, in seconds.
async fn away(child: &Child) -> u64 {
    let incarnation = child.incarnation().await;
    child.tell(Msg::Fail);
    let before = Instant::now();
    child.reborn_after(incarnation).await;
    before.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn the_delay_doubles_up_to_its_maximum_and_a_life_that_lasted_resets_it() {
    let log = Log::default();
    let [a] = children(["a"], &log);
    let tree = start(tree(Strategy::OneForOne, 100, []).child(slowly(&a))).await;
    for expected in [1, 2, 4, 4] {
        assert_eq!(away(&a).await, expected);
    }
    tokio::time::sleep(9 * SECOND).await;
    assert_eq!(away(&a).await, 4);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(away(&a).await, 1);
    assert_eq!(away(&a).await, 2);
    tree.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_waits_like_a_crash() {
    let log = Log::default();
    let [a] = children(["a"], &log);
    let tree = start(tree(Strategy::OneForOne, 100, []).child(slowly(&a))).await;
    a.fail_starts(2);
    assert_eq!(away(&a).await, 1 + 2 + 4);
    assert_eq!(log.take(), "+a !a !a +a");
    tree.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn siblings_are_ended_at_once_and_come_back_after_the_delay() {
    let log = Log::default();
    let [a, b, c] = children(["a", "b", "c"], &log);
    let spec = tree(Strategy::OneForAll, 1, [&a])
        .child(slowly(&b))
        .child(c.spec());
    let tree = start(spec).await;
    b.tell(Msg::Fail);
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(log.take(), "+a +b +c -c -a");
    let shown = tree.which_children("root").await.unwrap();
    let shown: Vec<_> = shown.iter().map(|child| child.status).collect();
    assert_eq!(
        shown,
        [ChildStatus::Down, ChildStatus::Restarting, ChildStatus::Down]
    );
    // The supervisor does as it is asked meanwhile; the sweep takes in what it finds.
    let restarting = Err(ChildError::Restarting { id: "b".to_owned() });
    assert_eq!(tree.restart_child("root", "b").await, restarting);
    assert_eq!(tree.delete_child("root", "b").await, restarting);
    tree.restart_child("root", "c").await.unwrap();
    assert_eq!(b.reborn_after(1).await, 2);
    assert_eq!(log.take(), "+c -c +a +b +c");
    tree.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_counted_when_it_is_decided_and_not_again_when_it_is_done() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let slow = Backoff {
        base: 3 * SECOND,
        max: 3 * SECOND,
        ..BACKOFF
    };
    let spec = tree(Strategy::OneForOne, 2, [])
        .child(a.spec().backoff(slow))
        .child(b.spec());
    let tree = start(spec).await;
    // Counted at 0 s and at 3 s, within 5 s; the third failure is fatal while the window is full, and at once.
    assert_eq!(away(&a).await, 3);
    a.tell(Msg::Fail);
    tokio::time::sleep(SECOND).await;
    b.tell(Msg::Fail);
    let before = Instant::now();
    let line = "child \"b\" crashed: boom; failure 3 within 5s, 2 allowed";
    assert_eq!(tree.exited().await, Exit::GaveUp(line.to_owned()));
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(log.take(), "+a +b +a");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_waits_is_called_off_with_its_child() {
    let log = Log::default();
    let [a] = children(["a"], &log);
    let tree = start(tree(Strategy::OneForOne, 3, []).child(slowly(&a))).await;
    a.tell(Msg::Fail);
    tokio::time::sleep(SECOND / 2).await;
    tree.terminate_child("root", "a").await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(log.take(), "+a");
    tree.restart_child("root", "a").await.unwrap();
    a.tell(Msg::Fail);
    tokio::time::sleep(SECOND / 2).await;
    let before = Instant::now();
    assert_eq!(tree.stop(SECOND).await, []);
    assert_eq!((before.elapsed(), log.take()), (Duration::ZERO, "+a".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_restart_by_a_sibling_makes_the_one_that_waits_void() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let tree = start(tree(Strategy::RestForOne, 3, [&a]).child(slowly(&b))).await;
    b.tell(Msg::Fail);
    tokio::time::sleep(SECOND / 2).await;
    a.tell(Msg::Fail);
    assert_eq!(b.reborn_after(1).await, 2);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!((b.incarnation().await, log.take()), (2, "+a +b +a +b".to_owned()));
    tree.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_backoff_that_is_none_is_refused() {
    let log = Log::default();
    let [a] = children(["a"], &log);
    for bad in [
        Backoff {
            base: Duration::ZERO,
            ..BACKOFF
        },
        Backoff {
            base: 5 * SECOND,
            ..BACKOFF
        },
    ] {
        let spec = tree(Strategy::OneForOne, 3, []).child(a.spec().restart(Restart::Transient).backoff(bad));
        let refused = Tree::start("root", spec).await.err();
        let expected = SpecError::BadBackoff { id: "a".to_owned() };
        assert_eq!(refused, Some(StartError::InvalidSpec(expected)));
    }
    let constant = Backoff {
        max: SECOND,
        ..BACKOFF
    };
    let spec = tree(Strategy::OneForOne, 3, []).child(a.spec().backoff(constant));
    Tree::start("root", spec).await.unwrap().stop(SECOND).await;
}
