//! Children changed on request: started, terminated, restarted, deleted, counted.
//!
//! The answers are OTP's; where OTP surprises, the name of the test says so.

use supervision::{
    AutoShutdown, ChildCounts, ChildError, ChildSpec, ChildStatus, Dynamic, DynamicSpec, Exit, Intensity,
    Refused, Restart, SpecError, Strategy, Tree,
};

use crate::probe::{Child, Log, Msg, SECOND, children, eventually, start, tree};

/// The children of the root with their states, `a:up b:down`.
async fn shown(tree: &Tree) -> String {
    let children = tree.which_children("root").await.unwrap();
    let shown = children.iter().map(|child| {
        let status = match child.status {
            ChildStatus::Running => "up",
            ChildStatus::Restarting => "restarting",
            ChildStatus::Down => "down",
        };
        format!("{}:{status}", child.id)
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn id() -> String {
    "b".to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_terminated_child_stays_down_until_somebody_restarts_it() {
    let log = Log::default();
    let all = children(["a", "b", "c"], &log);
    let tree = start(tree(Strategy::OneForOne, 0, &all)).await;
    assert_eq!(tree.terminate_child("root", "b").await, Ok(()));
    assert_eq!(tree.terminate_child("root", "b").await, Ok(()));
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(shown(&tree).await, "a:up b:down c:up");
    assert_eq!(log.take(), "+a +b +c -b");
    assert_eq!(tree.restart_child("root", "b").await, Ok(()));
    assert_eq!(
        tree.restart_child("root", "b").await,
        Err(ChildError::Running { id: id() })
    );
    assert_eq!(shown(&tree).await, "a:up b:up c:up");
    assert_eq!((log.take(), all[1].incarnation().await), ("+b".to_owned(), 2));
    // It keeps its place in the order.
    tree.stop(SECOND).await;
    assert_eq!(log.take(), "-c -b -a");
}

#[tokio::test(start_paused = true)]
async fn a_terminated_child_comes_back_with_the_restart_of_a_sibling_whose_fate_it_shares() {
    let log = Log::default();
    let all = children(["a", "b", "c"], &log);
    let tree = start(tree(Strategy::RestForOne, 3, &all)).await;
    tree.terminate_child("root", "b").await.unwrap();
    log.take();
    all[2].tell(Msg::Fail);
    all[2].reborn_after(1).await;
    assert_eq!(
        (log.take(), shown(&tree).await),
        ("+c".to_owned(), "a:up b:down c:up".to_owned())
    );
    all[0].tell(Msg::Fail);
    all[0].reborn_after(1).await;
    assert_eq!(
        (log.take(), shown(&tree).await),
        ("-c +a +b +c".to_owned(), "a:up b:up c:up".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_is_deleted_only_when_it_is_down_and_then_its_id_is_free() {
    let log = Log::default();
    let all = children(["a", "b", "c"], &log);
    let tree = start(tree(Strategy::OneForOne, 0, &all)).await;
    assert_eq!(
        tree.delete_child("root", "b").await,
        Err(ChildError::Running { id: id() })
    );
    let again = tree.start_child("root", all[1].spec()).await;
    assert_eq!(again, Err(ChildError::Exists { id: id() }));
    tree.terminate_child("root", "b").await.unwrap();
    let again = tree.start_child("root", all[1].spec()).await;
    assert_eq!(again, Err(ChildError::Exists { id: id() }));
    assert_eq!(tree.delete_child("root", "b").await, Ok(()));
    for gone in [
        tree.delete_child("root", "b").await,
        tree.restart_child("root", "b").await,
        tree.terminate_child("root", "b").await,
    ] {
        assert_eq!(gone, Err(ChildError::NotFound { id: id() }));
    }
    tree.start_child("root", all[1].spec()).await.unwrap();
    assert_eq!(shown(&tree).await, "a:up c:up b:up");
    tree.stop(SECOND).await;
    assert_eq!(log.take(), "+a +b +c -b +b -b -c -a");
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_is_forgotten_when_it_is_terminated() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let tree = start(tree(Strategy::OneForOne, 0, [&a])).await;
    tree.start_child("root", b.spec().restart(Restart::Temporary))
        .await
        .unwrap();
    assert_eq!(tree.terminate_child("root", "b").await, Ok(()));
    assert_eq!(shown(&tree).await, "a:up");
    let gone = tree.restart_child("root", "b").await;
    assert_eq!(gone, Err(ChildError::NotFound { id: id() }));
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_on_request_is_the_askers_business() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let tree = start(tree(Strategy::OneForOne, 0, [&a])).await;
    let failed = Err(ChildError::Failed {
        why: "no luck".to_owned(),
    });
    b.fail_starts(1);
    assert_eq!(tree.start_child("root", b.spec()).await, failed);
    assert_eq!(shown(&tree).await, "a:up");
    tree.start_child("root", b.spec()).await.unwrap();
    tree.terminate_child("root", "b").await.unwrap();
    b.fail_starts(1);
    assert_eq!(tree.restart_child("root", "b").await, failed);
    assert_eq!(shown(&tree).await, "a:up b:down");
    tree.restart_child("root", "b").await.unwrap();
    // None of it counted as a restart, of which none is allowed; a crash does.
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(shown(&tree).await, "a:up b:up");
    b.tell(Msg::Fail);
    assert!(matches!(tree.exited().await, Exit::GaveUp(_)));
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_makes_no_sense_there_is_refused() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let significant = || b.spec().restart(Restart::Transient).significant();
    let never = start(tree(Strategy::OneForOne, 0, [&a])).await;
    let refused = never.start_child("root", significant()).await;
    assert_eq!(
        refused,
        Err(ChildError::InvalidSpec(SpecError::SignificantInVain { id: id() }))
    );
    let any = tree(Strategy::OneForOne, 0, [&a]).auto_shutdown(AutoShutdown::AnySignificant);
    let any = start(any).await;
    any.start_child("root", significant()).await.unwrap();
    // Terminating it on request is not its end.
    any.terminate_child("root", "b").await.unwrap();
    any.restart_child("root", "b").await.unwrap();
    b.tell(Msg::Leave);
    assert_eq!(any.exited().await, Exit::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn an_added_child_lives_as_long_as_its_supervisor() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let inner = ChildSpec::supervisor("inner", tree(Strategy::OneForOne, 0, [&a]));
    let tree = start(tree(Strategy::OneForOne, 1, []).child(inner)).await;
    tree.start_child("root/inner", b.spec()).await.unwrap();
    assert_eq!(tree.directory().find("root/inner/b").unwrap().incarnation, 1);
    a.tell(Msg::Fail);
    a.handle.ask(Msg::Ping, SECOND).await.ok();
    eventually(async || (tree.directory().find("root/inner")?.incarnation == 2).then_some(())).await;
    a.incarnation().await;
    assert_eq!(log.take(), "+a +b -b +a");
}

#[tokio::test(start_paused = true)]
async fn children_are_counted_by_state_and_kind() {
    let log = Log::default();
    let [a, b, c, d] = children(["a", "b", "c", "d"], &log);
    let pool = Dynamic::new("pool");
    let intensity = Intensity {
        max: 1,
        within: SECOND,
    };
    let dynamic = DynamicSpec::new(&pool, 3, intensity, |child: Child| child.spec());
    let inner = ChildSpec::supervisor("inner", tree(Strategy::OneForOne, 1, [&c]));
    let spec = tree(Strategy::OneForOne, 1, [&a, &b])
        .child(inner)
        .child(ChildSpec::dynamic("pool", dynamic));
    let tree = start(spec).await;
    pool.start_child(d).await.unwrap();
    tree.terminate_child("root", "b").await.unwrap();
    tree.terminate_child("root", "inner").await.unwrap();
    let root = ChildCounts {
        specs: 4,
        active: 2,
        supervisors: 2,
        workers: 2,
    };
    assert_eq!(tree.count_children("root").await, Ok(root));
    let pool = ChildCounts {
        specs: 1,
        active: 1,
        supervisors: 0,
        workers: 1,
    };
    assert_eq!(tree.count_children("root/pool").await, Ok(pool));
    assert_eq!(tree.count_children("root/inner").await, Err(Refused::Down));
    assert_eq!(tree.count_children("root/a").await, Err(Refused::Down));
}

#[tokio::test(start_paused = true)]
async fn the_children_of_a_dynamic_supervisor_are_the_business_of_its_handle() {
    let log = Log::default();
    let [a] = children(["a"], &log);
    let pool = Dynamic::new("pool");
    let intensity = Intensity {
        max: 1,
        within: SECOND,
    };
    let dynamic = DynamicSpec::new(&pool, 3, intensity, |child: Child| child.spec());
    let tree = start(tree(Strategy::OneForOne, 1, []).child(ChildSpec::dynamic("pool", dynamic))).await;
    pool.start_child(a.clone()).await.unwrap();
    for answer in [
        tree.start_child("root/pool", a.spec()).await,
        tree.restart_child("root/pool", "a").await,
        tree.terminate_child("root/pool", "a").await,
        tree.delete_child("root/pool", "a").await,
    ] {
        assert_eq!(answer, Err(ChildError::IsDynamic));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_to_nobody_is_down() {
    let log = Log::default();
    let [a] = children(["a"], &log);
    let tree = start(tree(Strategy::OneForOne, 1, [&a])).await;
    for nobody in ["root/a", "root/x", "other"] {
        assert_eq!(tree.delete_child(nobody, "a").await, Err(ChildError::Down));
    }
    tree.stop(SECOND).await;
    assert_eq!(tree.start_child("root", a.spec()).await, Err(ChildError::Down));
}
