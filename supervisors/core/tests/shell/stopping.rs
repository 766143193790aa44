//! Orderly ends, and ends of those that do not want to.
//!
//! Time is virtual: who is waited for, and how long, is asserted to the millisecond.

use supervision::{
    Actor, AskError, ChildSpec, Ctx, Directory, Exit, Failure, Handle, Happening, Shutdown, Strategy, Tree,
};

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

/// The happenings at one place, in their order.
fn happened(directory: &Directory, path: &str) -> Vec<Happening> {
    let events = directory.events().into_iter();
    events
        .filter(|event| event.path.as_str() == path)
        .map(|event| event.what)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_ended_has_ended_as_it_did() {
    let log = Log::default();
    let [a, b, mut c, d] = children(["a", "b", "c", "d"], &log);
    c.stop_takes = 60 * SECOND;
    let spec = tree(Strategy::OneForAll, 1, [&a])
        .child(b.spec().shutdown(Shutdown::BrutalKill))
        .child(c.spec())
        .child(d.spec());
    let tree = start(spec).await;
    a.tell(Msg::Fail);
    a.reborn_after(1).await;
    let directory = tree.directory();
    let last_exit = |path| directory.find(path).unwrap().last_exit;
    assert_eq!(last_exit("root/b"), Some(Exit::Killed));
    assert_eq!(last_exit("root/c"), Some(Exit::Killed));
    assert_eq!(last_exit("root/d"), Some(Exit::Shutdown));
    tree.stop(60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_while_it_is_ended_has_failed() {
    let log = Log::default();
    let [a, b, mut c] = children(["a", "b", "c"], &log);
    c.stop_takes = SECOND;
    let tree = start(tree(Strategy::OneForAll, 1, [&a, &b, &c])).await;
    // While `c` is waited for, `b` fails by itself. That is part of the same restart, and must not cause another.
    a.tell(Msg::Fail);
    b.tell(Msg::Fail);
    a.reborn_after(1).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(log.take(), "+a +b +c -c +a +b +c");
    let boom = Exit::Crashed("boom".to_owned());
    let directory = tree.directory();
    assert_eq!(directory.find("root/b").unwrap().last_exit, Some(boom.clone()));
    let expected = [Happening::Started, Happening::Ended(boom), Happening::Started];
    assert_eq!(happened(&directory, "root/b"), expected);
    assert_eq!(directory.totals().crashes, 2);
    tree.stop(60 * SECOND).await;
}

/// Panics when it is stopped, with a task at work.
struct Clumsy(Log);

impl Actor for Clumsy {
    type Msg = ();
    type State = ();

    async fn start(&self, ctx: &Ctx<()>) -> Result<(), Failure> {
        let log = self.0.clone();
        let work = async move {
            let _at_work = AtWork(log);
            std::future::pending::<()>().await;
        };
        ctx.task(work).map_err(|_too_many| Failure::new("too many tasks"))
    }

    async fn handle(&self, _: &Ctx<()>, (): (), (): &mut ()) -> Result<(), Failure> {
        Ok(())
    }

    async fn stop(&self, _: &Ctx<()>, (): &mut ()) {
        panic!("oops");
    }
}

struct AtWork(Log);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.write("~task".to_owned());
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_panics_in_its_stop_has_failed_and_leaves_no_task() {
    let log = Log::default();
    let witness = log.clone();
    let clumsy = ChildSpec::worker("clumsy", &Handle::new("clumsy", 1), move || {
        Clumsy(witness.clone())
    });
    let tree = start(tree(Strategy::OneForOne, 0, []).child(clumsy)).await;
    tokio::task::yield_now().await;
    tree.terminate_child("root", "clumsy").await.unwrap();
    assert_eq!(log.take_all(), "~task");
    let failed = Happening::Ended(Exit::Crashed("oops".to_owned()));
    assert_eq!(
        happened(&tree.directory(), "root/clumsy"),
        [Happening::Started, failed]
    );
    tree.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn the_life_of_the_root_is_told_like_any_other() {
    let log = Log::default();
    let child = Child::new("a", &log);
    let first = start(tree(Strategy::OneForOne, 0, [&child])).await;
    child.tell(Msg::Fail);
    let exit = first.exited().await;
    let (directory, totals) = (first.directory(), first.directory().totals());
    assert_eq!(
        happened(&directory, "root"),
        [Happening::Started, Happening::Ended(exit)]
    );
    assert_eq!((totals.gave_up, totals.restarts), (1, 0));
    let directory = Directory::new();
    child.fail_starts(1);
    let failed = Tree::start_in("root", tree(Strategy::OneForOne, 0, [&child]), &directory).await;
    let why = failed.err().unwrap().to_string();
    assert_eq!(happened(&directory, "root"), [Happening::StartFailed(why)]);
}

#[tokio::test(start_paused = true)]
async fn a_root_that_is_stopped_says_shutdown() {
    let log = Log::default();
    let child = Child::new("a", &log);
    let tree = start(tree(Strategy::OneForOne, 1, [&child])).await;
    tree.stop(SECOND).await;
    assert_eq!(tree.exited().await, Exit::Shutdown);
}
