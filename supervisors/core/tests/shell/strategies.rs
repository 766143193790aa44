//! Who is ended and started with a child that failed, and in which order.
//!
//! The log of starts and orderly stops is the whole assertion. The child that failed itself has no orderly stop.

use supervision::{Restart, Strategy};

use crate::probe::{Child, Log, Msg, SECOND, children, start, tree};

/// Crashes `b` of `a b c d` and checks the log until all of them answer again.
async fn check(strategy: Strategy, expected: &str) {
    let log = Log::default();
    let all = children(["a", "b", "c", "d"], &log);
    let tree = start(tree(strategy, 3, &all)).await;
    assert_eq!(log.take(), "+a +b +c +d");
    all[1].tell(Msg::Fail);
    all[1].reborn_after(1).await;
    assert_eq!(log.take(), expected);
    assert_eq!(tree.stop(SECOND).await, []);
    assert_eq!(log.take(), "-d -c -b -a");
}

#[tokio::test(start_paused = true)]
async fn one_for_one_restarts_the_failed_child_alone() {
    check(Strategy::OneForOne, "+b").await;
}

#[tokio::test(start_paused = true)]
async fn one_for_all_ends_the_others_in_reverse_and_starts_all_in_order() {
    check(Strategy::OneForAll, "-d -c -a +a +b +c +d").await;
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_leaves_the_earlier_children_alone() {
    check(Strategy::RestForOne, "-d -c +b +c +d").await;
}

#[tokio::test(start_paused = true)]
async fn a_sweep_waits_for_a_slow_stop_before_it_starts_anything() {
    let log = Log::default();
    let [a, mut b] = children(["a", "b"], &log);
    b.stop_takes = 3 * SECOND;
    let tree = start(tree(Strategy::OneForAll, 3, [&a, &b])).await;
    let before = tokio::time::Instant::now();
    a.tell(Msg::Panic);
    a.reborn_after(1).await;
    assert_eq!(log.take(), "+a +b -b +a +b");
    assert!(before.elapsed() >= 3 * SECOND);
    tree.stop(10 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_temporary_sibling_does_not_come_back_with_a_sweep() {
    let log = Log::default();
    let [a, b, c] = children(["a", "b", "c"], &log);
    let spec = tree(Strategy::OneForAll, 3, [&a])
        .child(b.spec().restart(Restart::Temporary))
        .child(c.spec());
    let tree = start(spec).await;
    c.tell(Msg::Fail);
    c.reborn_after(1).await;
    assert_eq!(log.take(), "+a +b +c -b -a +a +c");
    let ids: Vec<_> = tree
        .which_children("root")
        .await
        .unwrap()
        .into_iter()
        .map(|child| child.id)
        .collect();
    assert_eq!(ids, ["a", "c"]);
}

/// Ends the only child in some way and returns whether it came back.
async fn comes_back(restart: Restart, msg: Msg) -> bool {
    let log = Log::default();
    let child = Child::new("a", &log);
    let tree = start(tree(Strategy::OneForOne, 3, []).child(child.spec().restart(restart))).await;
    child.tell(msg);
    tokio::time::sleep(SECOND).await;
    let up = child.handle.ask(Msg::Ping, SECOND).await.is_ok();
    tree.stop(SECOND).await;
    up
}

#[tokio::test(start_paused = true)]
async fn a_permanent_child_comes_back_after_any_exit() {
    assert!(comes_back(Restart::Permanent, Msg::Leave).await);
    assert!(comes_back(Restart::Permanent, Msg::Fail).await);
}

#[tokio::test(start_paused = true)]
async fn a_transient_child_comes_back_after_a_failure_only() {
    assert!(!comes_back(Restart::Transient, Msg::Leave).await);
    assert!(comes_back(Restart::Transient, Msg::Fail).await);
    assert!(comes_back(Restart::Transient, Msg::Panic).await);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_never_comes_back() {
    assert!(!comes_back(Restart::Temporary, Msg::Leave).await);
    assert!(!comes_back(Restart::Temporary, Msg::Panic).await);
}
