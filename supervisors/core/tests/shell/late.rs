//! What comes too late: a start that blocked until it was given up, a deadline that never comes.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use supervision::{Actor, ActorState, ChildSpec, Ctx, Failure, Handle, Reply, Shutdown, Strategy};

use crate::probe::{Child, Log, Msg, SECOND, eventually, start, tree};

/// An actor whose next start blocks its thread until the sender is dropped.
#[derive(Clone, Default)]
struct Late {
    block: Arc<Mutex<Option<Receiver<()>>>>,
}

enum Ask {
    Life(Reply<u64>),
    Fail,
}

impl Late {
    fn block_next_start(&self) -> Sender<()> {
        let (release, until) = channel();
        *self.block.lock().unwrap() = Some(until);
        release
    }
}

impl Actor for Late {
    type Msg = Ask;
    type State = ();

    async fn start(&self, _: &Ctx<Ask>) -> Result<(), Failure> {
        let until = self.block.lock().unwrap().take();
        if let Some(until) = until {
            until.recv().unwrap_err();
        }
        Ok(())
    }

    async fn handle(&self, ctx: &Ctx<Ask>, msg: Ask, (): &mut ()) -> Result<(), Failure> {
        match msg {
            Ask::Life(reply) => drop(reply.send(ctx.incarnation())),
            Ask::Fail => return Err(Failure::new("boom")),
        }
        Ok(())
    }
}

fn late(id: &str) -> (Late, Handle<Ask>, ChildSpec) {
    let (late, handle) = (Late::default(), Handle::new(id, 4));
    let made = late.clone();
    let child = ChildSpec::worker(id, &handle, move || made.clone());
    (late, handle, child)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_that_comes_back_after_it_was_given_up_takes_nothing_from_its_successor() {
    let (late, b, child) = late("b");
    let a = Child::new("a", &Log::default());
    let inner = ChildSpec::supervisor("inner", tree(Strategy::OneForOne, 3, []).child(child));
    let inner = inner.shutdown(Shutdown::Timeout(Duration::from_millis(50)));
    let tree = start(tree(Strategy::OneForAll, 3, []).child(inner).child(a.spec())).await;
    let directory = tree.directory();
    let release = late.block_next_start();
    b.try_tell(Ask::Fail).unwrap();
    eventually(async || late.block.lock().unwrap().is_none().then_some(())).await;
    // The sweep cannot end the blocked start, gives it up, and starts another life.
    a.tell(Msg::Fail);
    let answers = async || b.ask(Ask::Life, SECOND).await.ok();
    assert_eq!(eventually(answers).await, 1);
    assert!(
        !directory
            .list()
            .iter()
            .all(|actor| actor.state != ActorState::Abandoned)
    );
    drop(release);
    let only_the_living = async || {
        let list = directory.list();
        (list.len() == 4 && list.iter().all(|actor| actor.state == ActorState::Running)).then_some(())
    };
    eventually(only_the_living).await;
    assert_eq!(b.ask(Ask::Life, SECOND).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_that_blocks_its_thread_is_shown_as_stuck() {
    let (late, handle, child) = late("b");
    let child = child.start_timeout(Duration::from_millis(20));
    let tree = start(tree(Strategy::OneForOne, 3, []).child(child)).await;
    let directory = tree.directory();
    let release = late.block_next_start();
    handle.try_tell(Ask::Fail).unwrap();
    let stuck = async || {
        directory
            .find("root/b")
            .filter(|shown| shown.state == ActorState::Stuck)
    };
    assert_eq!(eventually(stuck).await.busy_for, None);
    drop(release);
    let answers = async || handle.ask(Ask::Life, SECOND).await.ok();
    eventually(answers).await;
    assert_eq!(directory.longest_stuck(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_may_be_as_far_away_as_can_be_said() {
    let child = Child::new("a", &Log::default());
    let spec = child
        .spec()
        .handle_deadline(Duration::MAX)
        .start_timeout(Duration::MAX);
    let tree = start(tree(Strategy::OneForOne, 3, []).child(spec)).await;
    let slow = child.handle.ask(|reply| Msg::Slow(reply, SECOND), 10 * SECOND);
    let (answer, stuck) = tokio::join!(slow, async {
        child.has_read_all().await;
        tree.directory().longest_stuck()
    });
    assert_eq!((answer, stuck), (Ok(1), None));
}
