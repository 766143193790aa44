//! Handlers that take too long: an async one is ended, one that blocks its thread is shown.

use std::time::Duration;

use supervision::{ActorState, Directory, Exit, Happening, Strategy};

use crate::probe::{Child, Log, Msg, SECOND, eventually, start, tree};

#[tokio::test(start_paused = true)]
async fn a_handler_past_its_deadline_counts_as_crashed() {
    let child = Child::new("a", &Log::default());
    let spec = tree(Strategy::OneForOne, 3, []).child(child.spec().handle_deadline(2 * SECOND));
    let tree = start(spec).await;
    child.tell(Msg::Hang);
    child.has_read_all().await;
    let began = tokio::time::Instant::now();
    assert_eq!(child.reborn_after(1).await, 2);
    // A restart takes no time; the asking of `reborn_after` may take a second.
    assert!((2 * SECOND..=3 * SECOND).contains(&began.elapsed()));
    let exit = tree.directory().find("root/a").unwrap().last_exit;
    assert_eq!(
        exit,
        Some(Exit::Crashed("a message took longer than 2s".to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn each_message_has_the_whole_deadline() {
    let child = Child::new("a", &Log::default());
    let spec = tree(Strategy::OneForOne, 3, []).child(child.spec().handle_deadline(2 * SECOND));
    let _tree = start(spec).await;
    for _ in 0..5 {
        let slow = child.handle.ask(|reply| Msg::Slow(reply, SECOND), 10 * SECOND);
        assert_eq!(slow.await, Ok(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_blocks_its_thread_is_shown_as_stuck_until_it_goes_on() {
    let child = Child::new("a", &Log::default());
    let spec =
        tree(Strategy::OneForOne, 3, []).child(child.spec().handle_deadline(Duration::from_millis(20)));
    let tree = start(spec).await;
    let directory = tree.directory();
    assert_eq!(directory.longest_stuck(), None);
    let (release, until) = std::sync::mpsc::channel();
    child.tell(Msg::Block(until));
    let (path, _) = eventually(async || directory.longest_stuck()).await;
    assert_eq!(path.as_str(), "root/a");
    let shown = directory.find("root/a").unwrap();
    assert_eq!((shown.state, shown.incarnation), (ActorState::Stuck, 1));
    assert!(shown.busy_for > Some(Duration::from_millis(20)));
    eventually(async || told(&directory, &Happening::Stuck)).await;
    drop(release);
    eventually(async || told(&directory, &Happening::Unstuck)).await;
    assert_eq!(directory.longest_stuck(), None);
    assert_eq!(child.incarnation().await, 1, "it was not ended for it");
}

/// The thread that an actor blocks may be the one that drives all timers and sockets: it is, if a timer woke it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_actor_that_blocks_its_thread_does_not_stop_the_clock_of_the_others() {
    let child = Child::new("a", &Log::default());
    let _tree = start(tree(Strategy::OneForOne, 3, [&child])).await;
    assert_eq!(child.incarnation().await, 1);
    let (release, until) = std::sync::mpsc::channel();
    // Lets go in any case, so that a clock that stands still is seen and not waited for.
    let (done, longest) = std::sync::mpsc::channel::<()>();
    let release = std::thread::spawn(move || {
        longest.recv_timeout(10 * SECOND).ok();
        drop(release);
    });
    let mut teller = tokio::task::JoinSet::new();
    let handle = child.handle.clone();
    teller.spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        handle.try_tell(Msg::Block(until)).unwrap();
    });
    let began = std::time::Instant::now();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
    drop(done);
    release.join().unwrap();
}

fn told(directory: &Directory, what: &Happening) -> Option<()> {
    let told = directory
        .events()
        .iter()
        .any(|event| event.path.as_str() == "root/a" && event.what == *what);
    told.then_some(())
}
