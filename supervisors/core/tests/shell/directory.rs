//! What an observer sees, without asking anybody.
//!
//! Only `which_children` asks: it is the supervisor's own view, in start order, with those that are down.

use supervision::{ActorState, ChildSpec, ChildStatus, Exit, Kind, Strategy};

use crate::probe::{Log, Msg, SECOND, children, start, tree};

#[tokio::test(start_paused = true)]
async fn the_directory_shows_every_live_actor_with_its_past() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let inner = ChildSpec::supervisor("inner", tree(Strategy::OneForOne, 3, [&b]));
    let tree = start(tree(Strategy::OneForOne, 3, [&a]).child(inner)).await;
    b.tell(Msg::Fail);
    b.reborn_after(1).await;
    let list = tree.directory().list();
    let seen: Vec<_> = list
        .iter()
        .map(|a| (a.path.as_str(), a.kind, a.state, a.restarts))
        .collect();
    let running = ActorState::Running;
    assert_eq!(
        seen,
        [
            ("root", Kind::Supervisor, running, 0),
            ("root/a", Kind::Worker, running, 0),
            ("root/inner", Kind::Supervisor, running, 0),
            ("root/inner/b", Kind::Worker, running, 1),
        ]
    );
    assert_eq!(
        (list[3].incarnation, list[3].last_exit.clone()),
        (2, Some(Exit::Crashed("boom".to_owned())))
    );
    tree.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_hanging_actor_is_seen_like_any_other() {
    let log = Log::default();
    let [a] = children(["a"], &log);
    let tree = start(tree(Strategy::OneForOne, 3, [&a])).await;
    a.tell(Msg::Hang);
    a.has_read_all().await;
    a.tell(Msg::Leave);
    let seen = tree.directory().find("root/a").unwrap();
    assert_eq!((seen.state, seen.mailbox.depth), (ActorState::Running, 1));
    tree.stop(9 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_tells_its_children_in_start_order() {
    let log = Log::default();
    let [a, b] = children(["a", "b"], &log);
    let tree = start(tree(Strategy::OneForOne, 3, [&b, &a])).await;
    b.tell(Msg::Fail);
    b.reborn_after(1).await;
    let told = tree.which_children("root").await.unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|child| (&*child.id, child.status, child.restarts))
        .collect();
    assert_eq!(
        told,
        [("b", ChildStatus::Running, 1), ("a", ChildStatus::Running, 0)]
    );
    tree.stop(SECOND).await;
}
