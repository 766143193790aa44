//! Faults on purpose: each happens once, at its moment, to its place.

use std::time::Duration;

use supervision::faults::{Fault, InvalidFault, What, When, on_call};
use supervision::{Actor, AskError, ChildSpec, Ctx, Directory, Exit, Failure, Handle, Reply, Strategy, Tree};

use crate::probe::{Child, Log, Msg, SECOND, tree};

async fn world() -> (Child, Directory, Tree) {
    let child = Child::new("a", &Log::default());
    let directory = Directory::new();
    directory.faults().limit_handlers(2 * SECOND);
    let spec = tree(Strategy::OneForOne, 3, [&child]);
    let tree = Tree::start_in("root", spec, &directory).await.unwrap();
    (child, directory, tree)
}

fn fault(when: When, what: What) -> Fault {
    let path = "root/a".to_owned();
    Fault { path, when, what }
}

#[tokio::test(start_paused = true)]
async fn the_message_that_was_named_crashes_and_the_next_do_not() {
    let (child, directory, _tree) = world().await;
    directory
        .faults()
        .inject(fault(When::Message(3), What::Panic))
        .unwrap();
    assert_eq!(child.handle.ask(Msg::Ping, SECOND).await, Ok(1));
    assert_eq!(child.handle.ask(Msg::Ping, SECOND).await, Ok(1));
    assert_eq!(child.handle.ask(Msg::Ping, SECOND).await, Err(AskError::Down));
    assert_eq!(child.reborn_after(1).await, 2);
    let exit = directory.find("root/a").unwrap().last_exit;
    assert_eq!(exit, Some(Exit::Crashed("injected panic".to_owned())));
    assert_eq!(directory.faults().fired().len(), 1);
    assert_eq!(directory.faults().waiting(), []);
}

#[tokio::test(start_paused = true)]
async fn faults_at_one_place_happen_one_after_the_other() {
    let (child, directory, _tree) = world().await;
    for what in [What::Error, What::Hang] {
        directory.faults().inject(fault(When::Message(1), what)).unwrap();
    }
    directory
        .faults()
        .inject(fault(When::Start, What::Error))
        .unwrap();
    child.tell(Msg::Fail);
    // The restart fails once, and the message to the second life hangs until it is ended.
    assert_eq!(child.reborn_after(1).await, 4);
    let exit = directory.find("root/a").unwrap().last_exit;
    assert_eq!(
        exit,
        Some(Exit::Crashed("a message took longer than 2s".to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_stop_is_ended_by_the_shutdown_limit() {
    let (_child, directory, tree) = world().await;
    directory.faults().inject(fault(When::Stop, What::Hang)).unwrap();
    let began = tokio::time::Instant::now();
    assert!(tree.stop(60 * SECOND).await.is_empty());
    assert_eq!(began.elapsed(), supervision::WORKER_SHUTDOWN);
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_an_accident_that_the_supervisor_heals() {
    let (child, directory, _tree) = world().await;
    assert!(directory.kill("root/a"));
    assert!(!directory.kill("root/b"));
    assert_eq!(child.reborn_after(1).await, 2);
    assert_eq!(directory.find("root/a").unwrap().last_exit, Some(Exit::Killed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_holds_the_thread_for_its_time() {
    let (child, directory, _tree) = world().await;
    let time = Duration::from_millis(50);
    directory
        .faults()
        .inject(fault(When::Message(1), What::Block(time)))
        .unwrap();
    let began = std::time::Instant::now();
    assert_eq!(child.handle.ask(Msg::Ping, 30 * SECOND).await, Ok(1));
    assert!(began.elapsed() >= time);
}

#[tokio::test]
async fn what_could_never_happen_is_refused() {
    let (_child, directory, _tree) = world().await;
    for (when, what) in [
        (When::Stop, What::Error),
        (When::Message(1), What::LoseReply),
        (When::Start, What::Duplicate),
        (When::Call(1), What::Panic),
    ] {
        let refused = directory.faults().inject(fault(when, what));
        assert_eq!(refused, Err(InvalidFault::Impossible { when, what }));
    }
    let refused = directory.faults().inject(fault(When::Call(0), What::Error));
    assert_eq!(refused, Err(InvalidFault::NeverCounted));
}

#[tokio::test(start_paused = true)]
async fn a_transport_learns_which_actor_calls_also_from_its_tasks() {
    let directory = Directory::new();
    let handle = Handle::new("caller", 1);
    let spec = tree(Strategy::OneForOne, 3, []).child(ChildSpec::worker("a", &handle, || Caller));
    let _tree = Tree::start_in("root", spec, &directory).await.unwrap();
    for (n, what) in [(1, What::LoseReply), (2, What::Duplicate)] {
        directory.faults().inject(fault(When::Call(n), what)).unwrap();
    }
    assert_eq!(on_call(), None, "nobody calls");
    assert_eq!(handle.ask(Call::Here, SECOND).await, Ok(Some(What::LoseReply)));
    assert_eq!(handle.ask(Call::Here, SECOND).await, Ok(None));
    assert_eq!(
        handle.ask(Call::FromTask, SECOND).await,
        Ok(Some(What::Duplicate))
    );
    assert_eq!(handle.ask(Call::FromTask, SECOND).await, Ok(None));
}

/// An actor that asks as a transport would.
struct Caller;

enum Call {
    Here(Reply<Option<What>>),
    FromTask(Reply<Option<What>>),
    Done,
}

impl Actor for Caller {
    type Msg = Call;
    type State = ();

    async fn start(&self, _: &Ctx<Call>) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, ctx: &Ctx<Call>, msg: Call, (): &mut ()) -> Result<(), Failure> {
        match msg {
            Call::Here(reply) => drop(reply.send(on_call())),
            Call::FromTask(reply) => ctx.task(async {
                reply.send(on_call());
                Call::Done
            })?,
            Call::Done => {}
        }
        Ok(())
    }
}
