//! Two lives of one actor never overlap, nor do their tasks, whichever way the first one ends.
//!
//! The task is in synchronous code when its actor ends, where an abort does not reach it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle, Strategy};
use tokio::sync::oneshot;

use crate::probe::{eventually, start, tree};

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    StartFails,
    StartPanics,
    HandleFails,
    HandlePanics,
    Stops,
}

/// An actor whose first life begins a task and then ends.
#[derive(Clone)]
struct Two {
    end: End,
    lives: Arc<AtomicU32>,
    task_at_work: Arc<AtomicBool>,
    overlapped: Arc<AtomicBool>,
}

enum Msg {
    End,
    Done,
}

impl Two {
    async fn begin_task(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        let (begun, has_begun) = oneshot::channel();
        let at_work = Arc::clone(&self.task_at_work);
        ctx.task(async move {
            at_work.store(true, Ordering::SeqCst);
            begun.send(()).ok();
            let (_never, end) = std::sync::mpsc::channel::<()>();
            end.recv_timeout(Duration::from_millis(100)).unwrap_err();
            at_work.store(false, Ordering::SeqCst);
            Msg::Done
        })?;
        Ok(has_begun.await?)
    }
}

impl Actor for Two {
    type Msg = Msg;
    type State = ();

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        if self.task_at_work.load(Ordering::SeqCst) {
            self.overlapped.store(true, Ordering::SeqCst);
        }
        let first = self.lives.fetch_add(1, Ordering::SeqCst) == 0;
        if first && self.end == End::StartFails {
            self.begin_task(ctx).await?;
            return Err(Failure::new("boom"));
        }
        if first && self.end == End::StartPanics {
            self.begin_task(ctx).await?;
            panic!("boom");
        }
        Ok(())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, (): &mut ()) -> Result<(), Failure> {
        let Msg::End = msg else {
            return Ok(());
        };
        self.begin_task(ctx).await?;
        match self.end {
            End::HandleFails => Err(Failure::new("boom")),
            End::HandlePanics => panic!("boom"),
            End::Stops => {
                ctx.stop_self();
                Ok(())
            }
            // The start had to be the second one: the first was that of the tree.
            End::StartFails | End::StartPanics => Err(Failure::new("the next start fails")),
        }
    }
}

async fn check(end: End) {
    let two = Two {
        end,
        // A tree whose first start fails does not start.
        lives: Arc::new(AtomicU32::new(1)),
        task_at_work: Arc::default(),
        overlapped: Arc::default(),
    };
    let handle = Handle::new("two", 4);
    let made = two.clone();
    let child = ChildSpec::worker("two", &handle, move || made.clone());
    let _tree = start(tree(Strategy::OneForOne, 3, []).child(child)).await;
    if matches!(end, End::StartFails | End::StartPanics) {
        two.lives.store(0, Ordering::SeqCst);
    }
    let lives = two.lives.load(Ordering::SeqCst);
    handle.try_tell(Msg::End).unwrap();
    eventually(async || (two.lives.load(Ordering::SeqCst) > lives && handle.depth() == 0).then_some(()))
        .await;
    eventually(async || handle.try_tell(Msg::Done).ok()).await;
    assert!(!two.overlapped.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_task_of_a_life_that_failed_is_at_work_in_the_next() {
    check(End::HandleFails).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_task_of_a_life_that_panicked_is_at_work_in_the_next() {
    check(End::HandlePanics).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_task_of_a_life_that_stopped_is_at_work_in_the_next() {
    check(End::Stops).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_task_of_a_start_that_failed_is_at_work_in_the_next() {
    check(End::StartFails).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_task_of_a_start_that_panicked_is_at_work_in_the_next() {
    check(End::StartPanics).await;
}

#[cfg(feature = "faults")]
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_task_of_a_life_that_was_killed_is_at_work_in_the_next() {
    let two = Two {
        end: End::HandleFails,
        lives: Arc::default(),
        task_at_work: Arc::default(),
        overlapped: Arc::default(),
    };
    let handle = Handle::new("two", 4);
    let made = two.clone();
    let hanging = Hanging(made);
    let child = ChildSpec::worker("two", &handle, move || hanging.clone());
    let tree = start(tree(Strategy::OneForOne, 3, []).child(child)).await;
    handle.try_tell(Msg::End).unwrap();
    eventually(async || two.task_at_work.load(Ordering::SeqCst).then_some(())).await;
    assert!(tree.directory().kill("root/two"));
    eventually(async || (two.lives.load(Ordering::SeqCst) == 2).then_some(())).await;
    assert!(!two.overlapped.load(Ordering::SeqCst));
    assert!(tree.stop(crate::probe::SECOND).await.is_empty());
}

/// The same actor, which begins its task and then waits to be killed.
#[cfg(feature = "faults")]
#[derive(Clone)]
struct Hanging(Two);

#[cfg(feature = "faults")]
impl Actor for Hanging {
    type Msg = Msg;
    type State = ();

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        self.0.start(ctx).await
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, (): &mut ()) -> Result<(), Failure> {
        let Msg::End = msg else {
            return Ok(());
        };
        self.0.begin_task(ctx).await?;
        std::future::pending().await
    }
}
