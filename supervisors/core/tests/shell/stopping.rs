//! Orderly ends, and ends of those that do not want to.
//!
//! Time is virtual: who is waited for, and how long, is asserted to the millisecond.

use supervision::{AskError, ChildSpec, Exit, Shutdown, Strategy};

use crate::probe::{Child, Log, Msg, SECOND, children, start, tree};

#[tokio::test(start_paused = true)]
async fn a_tree_stops_in_reverse_through_all_levels() {
    let log = Log::default();
    let [a, b, c, d] = children(["a", "b", "c", "d"], &log);
    let inner = ChildSpec::supervisor("inner", tree(Strategy::OneForOne, 1, [&b, &c]));
    let tree = start(tree(Strategy::OneForOne, 1, [&a]).child(inner).child(d.spec())).await;
    assert_eq!(log.take(), "+a +b +c +d");
    let directory = tree.directory();
    assert_eq!(tree.stop(SECOND).await, []);
    assert_eq!(log.take(), "-d -c -b -a");
    assert!(directory.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_hangs_is_killed_after_its_shutdown_time_and_the_rest_stop_in_order() {
    let log = Log::default();
    let [a, b, c] = children(["a", "b", "c"], &log);
    let tree = start(tree(Strategy::OneForOne, 1, [&a, &b, &c])).await;
    b.tell(Msg::Hang);
    b.has_read_all().await;
    log.take();
    let before = tokio::time::Instant::now();
    assert_eq!(tree.stop(60 * SECOND).await, []);
    assert_eq!(before.elapsed(), 5 * SECOND);
    assert_eq!(log.take_all(), "-c ~c ~b -a ~a");
}

#[tokio::test(start_paused = true)]
async fn a_child_to_be_killed_does_not_clean_up() {
    let log = Log::default();
    let child = Child::new("a", &log);
    let spec = tree(Strategy::OneForOne, 1, []).child(child.spec().shutdown(Shutdown::BrutalKill));
    let tree = start(spec).await;
    tree.stop(SECOND).await;
    assert_eq!(log.take_all(), "+a ~a");
}

#[tokio::test(start_paused = true)]
async fn a_patient_supervisor_waits_as_long_as_the_child_needs() {
    let log = Log::default();
    let mut child = Child::new("a", &log);
    child.stop_takes = 1000 * SECOND;
    let spec = tree(Strategy::OneForOne, 1, []).child(child.spec().shutdown(Shutdown::Infinity));
    let tree = start(spec).await;
    tree.stop(2000 * SECOND).await;
    assert_eq!(log.take(), "+a -a");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_tree_ends_even_the_patient() {
    let log = Log::default();
    let mut child = Child::new("a", &log);
    child.stop_takes = 1000 * SECOND;
    let inner = tree(Strategy::OneForOne, 1, []).child(child.spec().shutdown(Shutdown::Infinity));
    let spec = tree(Strategy::OneForOne, 1, []).child(ChildSpec::supervisor("inner", inner));
    let tree = start(spec).await;
    let (directory, before) = (tree.directory(), tokio::time::Instant::now());
    assert_eq!(tree.stop(7 * SECOND).await, []);
    assert_eq!(before.elapsed(), 7 * SECOND);
    assert!(directory.list().is_empty());
    assert_eq!(log.take_all(), "+a ~a");
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_the_mailbox_is_dropped_with_its_replies_at_a_stop() {
    let log = Log::default();
    let child = Child::new("a", &log);
    let tree = start(tree(Strategy::OneForOne, 1, [&child])).await;
    let handle = child.handle.clone();
    let first = handle.ask(|reply| Msg::Slow(reply, SECOND), 60 * SECOND);
    let second = handle.ask(Msg::Ping, 60 * SECOND);
    let stop = async {
        while child.handle.depth() > 1 {
            tokio::task::yield_now().await;
        }
        tree.stop(60 * SECOND).await
    };
    let (first, second, _) = tokio::join!(first, second, stop);
    assert_eq!((first, second), (Ok(1), Err(AskError::Down)));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_tree_leaves_nothing_running() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let inner = ChildSpec::supervisor("inner", tree(Strategy::OneForOne, 1, [&b]));
    let tree = start(tree(Strategy::OneForOne, 1, [&a]).child(inner)).await;
    let directory = tree.directory();
    drop(tree);
    tokio::time::sleep(SECOND).await;
    assert!(directory.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_root_that_is_stopped_says_shutdown() {
    let log = Log::default();
    let child = Child::new("a", &log);
    let tree = start(tree(Strategy::OneForOne, 1, [&child])).await;
    tree.stop(SECOND).await;
    assert_eq!(tree.exited().await, Exit::Shutdown);
}
