//! A supervisor restarted with everything under it, on real threads.
//!
//! `ractor` kills the children of a dead supervisor without waiting for them, so a quick successor could meet them:
//! their names, their handles, their state. It must not.

use std::time::Duration;

use supervision::{ChildSpec, Intensity, Strategy, TreeSpec};

use crate::probe::{Log, Msg, SECOND, children, start, tree};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_restarts_of_a_subtree_never_clash_with_what_was_there() {
    let log = Log::default();
    let [a, b, c, d] = children(["a", "b", "c", "d"], &log);
    // The inner supervisors give up at the first failure, so every failure climbs to the root.
    let none = Intensity {
        max: 0,
        within: SECOND,
    };
    let innermost = ChildSpec::supervisor("innermost", tree(Strategy::OneForOne, 0, [&b, &c]));
    let inner = TreeSpec::new(Strategy::OneForAll, none)
        .child(a.spec())
        .child(innermost)
        .child(d.spec());
    let root = TreeSpec::new(
        Strategy::OneForOne,
        Intensity {
            max: 200,
            within: 3600 * SECOND,
        },
    );
    let tree = start(root.child(ChildSpec::supervisor("inner", inner))).await;
    let log_of_start = "+a +b +c +d";
    assert_eq!(log.take(), log_of_start);
    for life in 1..=200 {
        c.incarnation().await;
        c.tell(Msg::Panic);
        let next = async || (tree.directory().find("root/inner")?.incarnation == life + 1).then_some(());
        crate::probe::eventually(next).await;
        d.incarnation().await;
        assert_eq!(log.take(), format!("-b -d -a {log_of_start}"));
    }
    assert_eq!(tree.directory().find("root/inner").unwrap().restarts, 200);
    assert_eq!(tree.stop(10 * SECOND).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn orphans_of_a_killed_supervisor_are_gone_before_it_comes_back() {
    let log = Log::default();
    let [mut a, b] = children(["a", "b"], &log);
    // Asked to stop, it takes longer than its supervisor is given, so the whole subtree is killed.
    a.stop_takes = 60 * SECOND;
    let hasty = supervision::Shutdown::Timeout(Duration::from_millis(5));
    let inner = ChildSpec::supervisor("inner", tree(Strategy::OneForOne, 0, [&a])).shutdown(hasty);
    let spec = TreeSpec::new(
        Strategy::OneForAll,
        Intensity {
            max: 50,
            within: 3600 * SECOND,
        },
    );
    let tree = start(spec.child(inner).child(b.spec())).await;
    assert_eq!(log.take_all(), "+a +b");
    for life in 1..=50 {
        b.tell(Msg::Panic);
        b.reborn_after(life).await;
        assert_eq!(log.take_all(), "~b ~a +a +b");
    }
    tree.stop(SECOND).await;
}

#[cfg(feature = "faults")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_follows_from_the_kill_of_a_supervisor_before_its_children_are_gone() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let inner = ChildSpec::supervisor("inner", tree(Strategy::OneForOne, 0, [&b]));
    let tree = start(tree(Strategy::OneForAll, 1, [&a]).child(inner)).await;
    // It cannot be killed for a while, less than the kill grace.
    let (release, blocker) = std::sync::mpsc::channel();
    b.tell(Msg::Block(blocker));
    b.has_read_all().await;
    log.take_all();
    assert!(tree.directory().kill("root/inner"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(release);
    a.reborn_after(1).await;
    b.incarnation().await;
    assert_eq!(log.take_all(), "~b -a ~a +a +b");
    assert_eq!(tree.stop(SECOND).await, []);
}
