//! Failures that a restart does not cure.
//!
//! Starts that fail, children that fail too often, specs that make no sense; and the line that the root leaves behind.

use std::time::Duration;

use supervision::{
    AutoShutdown, ChildSpec, Exit, Intensity, Restart, SpecError, StartError, Strategy, Tree, TreeSpec,
};

use crate::probe::{Log, Msg, SECOND, children, start, tree};

#[tokio::test(start_paused = true)]
async fn a_failed_start_ends_the_started_in_reverse_and_fails_the_tree() {
    let log = Log::default();
    let all = children(["a", "b", "c", "d"], &log);
    all[2].fail_starts(1);
    let error = Tree::start("root", tree(Strategy::OneForOne, 3, &all))
        .await
        .err();
    let why = "child \"c\" could not start: no luck".to_owned();
    assert_eq!(error, Some(StartError::Failed { why }));
    assert_eq!(log.take(), "+a +b !c -b -a");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_too_long_is_a_failed_start() {
    let log = Log::default();
    let [a, mut b] = children(["a", "b"], &log);
    b.start_takes = 60 * SECOND;
    let spec = tree(Strategy::OneForOne, 3, [&a]).child(b.spec().start_timeout(2 * SECOND));
    let before = tokio::time::Instant::now();
    let error = Tree::start("root", spec).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "child \"b\" could not start: not started within 2s"
    );
    assert_eq!(before.elapsed(), 2 * SECOND);
    assert_eq!(log.take(), "+a -a");
}

#[tokio::test(start_paused = true)]
async fn a_failed_restart_is_tried_again_and_counted() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let tree = start(tree(Strategy::OneForOne, 3, [&a, &b])).await;
    a.fail_starts(2);
    a.tell(Msg::Fail);
    assert_eq!(a.reborn_after(1).await, 4);
    assert_eq!(log.take(), "+a +b !a !a +a");
    a.tell(Msg::Fail);
    let line = "child \"a\" crashed: boom; failure 4 within 5s, 3 allowed";
    assert_eq!(tree.exited().await, Exit::GaveUp(line.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_never_works_is_named_as_the_reason() {
    let log = Log::default();
    let [a] = children(["a"], &log);
    let tree = start(tree(Strategy::OneForOne, 1, [&a])).await;
    a.fail_starts(9);
    a.tell(Msg::Fail);
    let line = "child \"a\" could not be restarted: no luck; failure 2 within 5s, 1 allowed";
    assert_eq!(tree.exited().await, Exit::GaveUp(line.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn failures_climb_until_the_root_gives_up_and_says_why() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let inner = tree(Strategy::OneForOne, 1, [&b]);
    let tree = start(tree(Strategy::OneForOne, 1, [&a]).child(ChildSpec::supervisor("inner", inner))).await;
    for _ in 0..4 {
        b.incarnation().await;
        b.tell(Msg::Panic);
    }
    let inner = "child \"b\" crashed: boom; failure 2 within 5s, 1 allowed";
    let line = format!("child \"inner\" gave up: {inner}; failure 2 within 5s, 1 allowed");
    assert_eq!(tree.exited().await, Exit::GaveUp(line));
    assert_eq!(log.take(), "+a +b +b +b +b -a");
    assert!(tree.directory().list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_rare_enough_are_survived_for_ever() {
    let log = Log::default();
    let [a] = children(["a"], &log);
    let tree = start(tree(Strategy::OneForOne, 1, [&a])).await;
    for life in 1..20 {
        assert_eq!(a.incarnation().await, life);
        a.tell(Msg::Fail);
        tokio::time::sleep(6 * SECOND).await;
    }
    tree.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_significant_child_ends_its_supervisor() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let inner = tree(Strategy::OneForOne, 3, [&a])
        .child(b.spec().restart(Restart::Transient).significant())
        .auto_shutdown(AutoShutdown::AnySignificant);
    let inner = ChildSpec::supervisor("run", inner).restart(Restart::Transient);
    let tree = start(tree(Strategy::OneForOne, 0, []).child(inner)).await;
    b.tell(Msg::Leave);
    tokio::time::sleep(SECOND).await;
    assert_eq!(log.take(), "+a +b -b -a");
    let paths: Vec<_> = tree
        .directory()
        .list()
        .into_iter()
        .map(|actor| actor.path.to_string())
        .collect();
    assert_eq!(paths, ["root"]);
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_makes_no_sense_is_refused_before_anything_starts() {
    let log = Log::default();
    let [a] = children(["a"], &log);
    let id = || "a".to_owned();
    let cases = [
        (
            tree(Strategy::OneForOne, 1, [&a, &a]),
            SpecError::DuplicateId { id: id() },
        ),
        (
            tree(Strategy::OneForOne, 1, []).child(a.spec().significant()),
            SpecError::SignificantPermanent { id: id() },
        ),
        (
            tree(Strategy::OneForOne, 1, []).child(a.spec().restart(Restart::Temporary).significant()),
            SpecError::SignificantInVain { id: id() },
        ),
        (
            TreeSpec::new(
                Strategy::OneForOne,
                Intensity {
                    max: 1,
                    within: Duration::ZERO,
                },
            ),
            SpecError::NoWindow {
                id: "inner".to_owned(),
            },
        ),
    ];
    for (inner, expected) in cases {
        let spec = tree(Strategy::OneForOne, 1, []).child(ChildSpec::supervisor("inner", inner));
        assert_eq!(
            Tree::start("root", spec).await.err(),
            Some(StartError::InvalidSpec(expected))
        );
    }
    let bad = TreeSpec::new(
        Strategy::OneForOne,
        Intensity {
            max: 1,
            within: SECOND,
        },
    );
    let error = Tree::start("a/b", bad).await.err();
    assert_eq!(
        error,
        Some(StartError::InvalidSpec(SpecError::BadId { id: "a/b".to_owned() }))
    );
    assert_eq!(log.take(), "");
}
