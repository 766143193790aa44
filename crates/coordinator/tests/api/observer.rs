//! Looking at the actors: what is shown, and that a hung actor hinders nobody from looking.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use hiveforge_coordinator::ObservedTree;
use protocol::client::Options;
use protocol::observer::{ActorKind, ActorState, ActorView, ExitKind, Reading};
use supervision::{Actor, ChildSpec, Ctx, Directory, Failure, Handle, Intensity, Strategy, Tree, TreeSpec};

use crate::fragile::FragileNexus;
use crate::world::{World, eventually};

/// All that may block forever is released after so long, so that a failed test ends.
const BLOCKED_MAX: Duration = Duration::from_secs(60);
const RARELY: Intensity = Intensity {
    max: 10,
    within: Duration::from_secs(60),
};

impl World {
    async fn reading(&self, query: &str) -> Reading {
        let path = format!("/v1/observer/tree{query}");
        self.person.get(&path, Options::default()).await.unwrap()
    }
}

/// Blocks its thread for as long as the test wants.
struct Blocker {
    release: Arc<std::sync::Mutex<Receiver<()>>>,
}

impl Actor for Blocker {
    type Msg = ();
    type State = ();

    async fn start(&self, _: &Ctx<()>) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, _: &Ctx<()>, (): (), (): &mut ()) -> Result<(), Failure> {
        let released = self.release.lock().unwrap().recv_timeout(BLOCKED_MAX);
        released.map_err(Failure::from)
    }
}

/// A tree with one blocker, which may handle a message for `limit`.
async fn blocking(directory: &Directory, limit: Duration) -> (Tree, Handle<()>, Sender<()>) {
    let (release, released) = channel();
    let released = Arc::new(std::sync::Mutex::new(released));
    let handle = Handle::new("blocker", 8);
    let make = move || Blocker {
        release: Arc::clone(&released),
    };
    let child = ChildSpec::worker("blocker", &handle, make).handle_deadline(limit);
    let spec = TreeSpec::new(Strategy::OneForOne, RARELY).child(child);
    let tree = Tree::start_in("beside", spec, directory).await.unwrap();
    (tree, handle, release)
}

#[tokio::test]
async fn all_seven_actors_are_shown_under_their_supervisor() {
    let world = World::start().await;
    let reading = world.reading("").await;
    assert!(!reading.truncated);
    let [tree] = reading.trees.as_slice() else {
        panic!("there is one tree: {reading:?}");
    };
    let paths: Vec<&str> = tree.actors.iter().map(|actor| actor.path.as_str()).collect();
    let children = [
        "dispatch",
        "edge",
        "followups",
        "intake",
        "pulse",
        "reaper",
        "timekeeper",
    ];
    let children = children.map(|child| format!("coordinator/{child}"));
    let expected: Vec<&str> = std::iter::once("coordinator")
        .chain(children.iter().map(String::as_str))
        .collect();
    assert_eq!((tree.name.as_str(), paths), ("coordinator", expected));
    let [root, children @ ..] = tree.actors.as_slice() else {
        panic!("the root comes first");
    };
    assert_eq!(root.kind, ActorKind::Supervisor);
    assert_eq!(
        root.window
            .map(|window| (window.restarts, window.max, window.within_ms)),
        Some((0, 10, 60_000))
    );
    let is_fine = |actor: &ActorView| {
        actor.state == ActorState::Running && actor.kind == ActorKind::Worker && actor.incarnation == 1
    };
    assert!(children.iter().all(is_fine), "{children:?}");
    assert_eq!((tree.totals.starts, tree.totals.restarts), (8, 0));
    assert_eq!(tree.events.len(), 8);
}

#[tokio::test]
async fn a_part_is_shown_alone() {
    let world = World::start().await;
    let shown = world.reading("?under=coordinator%2Fedge").await;
    let paths: Vec<&str> = shown.actors().map(|actor| actor.path.as_str()).collect();
    assert_eq!(paths, ["coordinator/edge"]);
    assert_eq!(world.reading("?under=agent").await.trees, []);
    let refused = world.say("GET", "/v1/observer/tree?below=x").send().await;
    assert_eq!(refused.problem().code, "bad_query");
}

#[tokio::test]
async fn a_crash_is_shown_with_its_reason_and_counted() {
    let nexus = Arc::new(FragileNexus::new());
    let world = World::over(Arc::clone(&nexus) as _).await;
    nexus.panic_at("range held");
    let reaper = eventually("the reaper is restarted", || async {
        let reading = world.reading("").await;
        reading
            .actor("coordinator/reaper")
            .filter(|it| it.incarnation == 2)
            .cloned()
    });
    let exit = reaper.await.last_exit.unwrap();
    assert_eq!(exit.how, ExitKind::Crashed);
    assert!(exit.why.unwrap().contains("the test asked for a panic"));
    let reading = world.reading("").await;
    let totals = reading.trees[0].totals;
    assert_eq!((totals.crashes, totals.restarts), (1, 1));
    assert_eq!(reading.actor("coordinator").unwrap().window.unwrap().restarts, 1);
    let metrics = world.ask("GET", "/metrics").send().await;
    for line in [
        "hiveforge_actors{tree=\"coordinator\"} 8\n",
        "hiveforge_actors_stuck{tree=\"coordinator\"} 0\n",
        "hiveforge_actor_restarts_total{tree=\"coordinator\"} 1\n",
        "hiveforge_actor_crashes_total{tree=\"coordinator\"} 1\n",
        "hiveforge_mailbox_depth{actor=\"coordinator/dispatch\"} 0\n",
    ] {
        assert!(metrics.text().contains(line), "{line}: {}", metrics.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_hung_actor_is_shown_as_hung_while_the_endpoint_answers() {
    let beside = ObservedTree {
        name: "beside",
        directory: Directory::new(),
    };
    let world = World::beside(vec![beside.clone()]).await;
    let limit = Duration::from_millis(50);
    let (tree, blocker, release) = blocking(&beside.directory, limit).await;
    blocker.try_tell(()).unwrap();
    blocker.try_tell(()).unwrap();
    let stuck = eventually("the blocker is stuck", || async {
        let reading = world.reading("").await;
        reading
            .actor("beside/blocker")
            .filter(|it| it.state == ActorState::Stuck)
            .cloned()
    });
    let stuck = stuck.await;
    assert!(stuck.busy_ms.unwrap() >= 50, "{stuck:?}");
    assert_eq!((stuck.mailbox.depth, stuck.mailbox.handled), (1, 1));
    let metrics = world.ask("GET", "/metrics").send().await;
    assert!(
        metrics
            .text()
            .contains("hiveforge_actors_stuck{tree=\"beside\"} 1\n")
    );
    assert!(
        metrics
            .text()
            .contains("hiveforge_mailbox_depth{actor=\"beside/blocker\"} 1\n")
    );
    // It has not been stuck for long, and may yet go on.
    assert_eq!(world.ask("GET", "/livez").send().await.status, 200);
    release.send(()).unwrap();
    release.send(()).unwrap();
    eventually("it runs again", || async {
        let reading = world.reading("?under=beside/blocker").await;
        let running = reading
            .actor("beside/blocker")
            .filter(|it| it.state == ActorState::Running);
        running.filter(|it| it.mailbox.handled == 2).map(drop)
    })
    .await;
    assert!(tree.stop(Duration::from_secs(5)).await.is_empty());
}
