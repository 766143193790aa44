//! Children on demand.
//!
//! A pool of at most three probes, all from one template; and the drawing, which shows templates too.

use supervision::{
    ChildSpec, ChildStatus, Dynamic, DynamicSpec, Intensity, Refused, Restart, StartChildError, Strategy,
    Tree, draw,
};

use crate::probe::{Child, Log, Msg, SECOND, children, eventually, start, tree};

/// A tree with one dynamic supervisor `pool` for at most three children.
async fn pool() -> (Tree, Dynamic<Child>) {
    let handle = Dynamic::new("pool");
    let intensity = Intensity {
        max: 1,
        within: 5 * SECOND,
    };
    let spec = DynamicSpec::new(&handle, 3, intensity, |child: Child| {
        child.spec().restart(Restart::Transient)
    });
    let tree = start(tree(Strategy::OneForOne, 3, []).child(ChildSpec::dynamic("pool", spec))).await;
    (tree, handle)
}

#[tokio::test(start_paused = true)]
async fn children_come_on_demand_and_go_when_they_are_done() {
    let log = Log::default();
    let (tree, pool) = pool().await;
    let [a, b] = children(["a", "b"], &log);
    let child = pool.start_child(a.clone()).await.unwrap();
    assert_eq!(child.path().as_str(), "root/pool/a");
    pool.start_child(b.clone()).await.unwrap();
    assert_eq!(pool.count(), 2);
    a.tell(Msg::Leave);
    eventually(async || (pool.count() == 1).then_some(())).await;
    assert_eq!(pool.terminate_child(&child).await, Ok(false));
    b.tell(Msg::Fail);
    assert_eq!(b.reborn_after(1).await, 2);
    let [left] = &pool.which_children().await.unwrap()[..] else {
        panic!("one is left")
    };
    assert_eq!((&*left.id, left.status), ("b", ChildStatus::Running));
    tree.stop(SECOND).await;
    assert_eq!(pool.start_child(a).await, Err(StartChildError::Down));
}

#[tokio::test(start_paused = true)]
async fn a_dynamic_supervisor_refuses_what_it_has_no_room_for() {
    let log = Log::default();
    let (_tree, pool) = pool().await;
    let [a, b, c, d] = children(["a", "b", "c", "d"], &log);
    for child in [&a, &b, &c] {
        pool.start_child(child.clone()).await.unwrap();
    }
    let twice = pool.start_child(a.clone()).await;
    assert_eq!(twice, Err(StartChildError::Exists { id: "a".to_owned() }));
    assert_eq!(pool.start_child(d).await, Err(StartChildError::Full));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_start_leaves_nothing_behind() {
    let log = Log::default();
    let (_tree, pool) = pool().await;
    let [a] = children(["a"], &log);
    a.fail_starts(1);
    let failed = pool.start_child(a.clone()).await;
    assert_eq!(
        failed,
        Err(StartChildError::Failed {
            why: "no luck".to_owned()
        })
    );
    assert_eq!(pool.count(), 0);
    pool.start_child(a).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_child_is_terminated_on_request_and_its_id_is_free_again() {
    let log = Log::default();
    let (_tree, pool) = pool().await;
    let [a] = children(["a"], &log);
    let first = pool.start_child(a.clone()).await.unwrap();
    assert_eq!(pool.terminate_child(&first).await, Ok(true));
    assert_eq!(log.take(), "+a -a");
    pool.start_child(a.clone()).await.unwrap();
    assert_eq!(pool.terminate_child(&first).await, Ok(false));
    assert_eq!(a.incarnation().await, 1);
}

#[tokio::test(start_paused = true)]
async fn dynamic_children_stop_all_at_the_same_time() {
    let log = Log::default();
    let (tree, pool) = pool().await;
    for mut child in children(["a", "b", "c"], &log) {
        child.stop_takes = 3 * SECOND;
        pool.start_child(child).await.unwrap();
    }
    let before = tokio::time::Instant::now();
    assert_eq!(tree.stop(60 * SECOND).await, []);
    assert_eq!(before.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_dynamic_supervisor_that_gives_up_comes_back_empty() {
    let log = Log::default();
    let (tree, pool) = pool().await;
    let [a, b] = children(["a", "b"], &log);
    let old = pool.start_child(a.clone()).await.unwrap();
    pool.start_child(b).await.unwrap();
    a.tell(Msg::Fail);
    a.reborn_after(1).await;
    a.tell(Msg::Fail);
    eventually(async || {
        tree.directory()
            .find("root/pool")
            .filter(|pool| pool.incarnation == 2)
    })
    .await;
    assert_eq!(pool.count(), 0);
    pool.start_child(a).await.unwrap();
    assert_eq!(pool.terminate_child(&old).await, Ok(false));
    assert_eq!(pool.count(), 1);
}

#[cfg(feature = "faults")]
#[tokio::test(start_paused = true)]
async fn a_dynamic_supervisor_that_is_gone_counts_no_children() {
    let log = Log::default();
    let (tree, pool) = pool().await;
    let [a] = children(["a"], &log);
    pool.start_child(a).await.unwrap();
    let directory = tree.directory();
    // The root is killed, too, so nobody restarts the pool.
    assert!(directory.kill("root"));
    tree.exited().await;
    eventually(async || directory.list().is_empty().then_some(())).await;
    assert_eq!(pool.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handle_without_a_tree_is_down() {
    let pool: Dynamic<Child> = Dynamic::new("pool");
    assert_eq!(
        pool.start_child(Child::new("a", &Log::default())).await,
        Err(StartChildError::Down)
    );
    assert_eq!(pool.which_children().await, Err(Refused::Down));
}

#[test]
fn a_tree_is_drawn_from_the_value_that_is_started() {
    let log = Log::default();
    let [session, execution, shipper, poller] = children(["session", "execution", "shipper", "poller"], &log);
    let run = move || {
        let run = tree(Strategy::OneForOne, 3, [])
            .child(execution.spec().restart(Restart::Transient).significant())
            .child(shipper.spec())
            .auto_shutdown(supervision::AutoShutdown::AnySignificant);
        ChildSpec::supervisor("run", run).restart(Restart::Temporary)
    };
    let handle: Dynamic<()> = Dynamic::new("runs");
    let intensity = Intensity {
        max: 10,
        within: 60 * SECOND,
    };
    let template = run.clone();
    let runs = DynamicSpec::new(&handle, 64, intensity, move |()| template()).drawn_as(run);
    let agent = tree(Strategy::RestForOne, 3, [&session])
        .child(ChildSpec::dynamic("runs", runs))
        .child(poller.spec().shutdown(supervision::Shutdown::BrutalKill));
    insta::assert_snapshot!(draw("agent", &agent), @r"
    agent               rest_for_one, 3 in 5s
    ├─ session          permanent, stops within 5s
    ├─ runs             permanent, stops after its children | dynamic, at most 64, 10 in 60s
    │  └╌ run           temporary, stops after its children | one_for_one, 3 in 5s, ends with any significant child
    │     ├─ execution  transient, significant, stops within 5s
    │     └─ shipper    permanent, stops within 5s
    └─ poller           permanent, killed
    ");
}
