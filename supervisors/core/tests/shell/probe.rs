//! The actor under test: does what a message says, and logs its starts and orderly stops.
//!
//! Every child has its own wiring, so that one of them can be made to fail its starts or to stop slowly.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle, Intensity, Reply, Strategy, Tree, TreeSpec};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order: `+a` a start, `-a` an orderly stop, `!a` a failed start, `~a` a dropped state.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn write(&self, entry: String) {
        self.0.lock().unwrap().push(entry);
    }

    /// Returns what was written since the last call, without dropped states.
    pub(crate) fn take(&self) -> String {
        let entries = std::mem::take(&mut *self.0.lock().unwrap());
        entries
            .into_iter()
            .filter(|entry| !entry.starts_with('~'))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Returns what was written since the last call.
    pub(crate) fn take_all(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join(" ")
    }
}

pub(crate) enum Msg {
    /// Return an error.
    Fail,
    /// Panic.
    Panic,
    /// Ask to be stopped, with exit `normal`.
    Leave,
    /// Never return.
    Hang,
    /// Block the thread until the sender is dropped.
    Block(std::sync::mpsc::Receiver<()>),
    /// Return nothing but the incarnation.
    Ping(Reply<u64>),
    /// Crash with the question unanswered.
    FailAsked(#[expect(dead_code, reason = "it is dropped, that is the point")] Reply<u64>),
    /// Keep the question unanswered for a while.
    Slow(Reply<u64>, Duration),
}

/// A child under test: its handle, and how it misbehaves.
#[derive(Clone)]
pub(crate) struct Child {
    pub(crate) id: &'static str,
    pub(crate) handle: Handle<Msg>,
    pub(crate) log: Log,
    /// How many starts still fail.
    pub(crate) failing_starts: Arc<AtomicU32>,
    pub(crate) stop_takes: Duration,
    pub(crate) start_takes: Duration,
}

impl Child {
    pub(crate) fn new(id: &'static str, log: &Log) -> Self {
        Self {
            id,
            handle: Handle::new(id, 4),
            log: log.clone(),
            failing_starts: Arc::default(),
            stop_takes: Duration::ZERO,
            start_takes: Duration::ZERO,
        }
    }

    pub(crate) fn spec(&self) -> ChildSpec {
        let child = self.clone();
        ChildSpec::worker(self.id, &self.handle, move || Probe(child.clone()))
    }

    pub(crate) fn tell(&self, msg: Msg) {
        self.handle.try_tell(msg).unwrap();
    }

    pub(crate) fn fail_starts(&self, n: u32) {
        self.failing_starts.store(n, Ordering::SeqCst);
    }

    /// Waits until everything told so far is being handled or done. No time passes.
    pub(crate) async fn has_read_all(&self) {
        while self.handle.depth() > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Returns the incarnation that answers, as soon as one does.
    pub(crate) async fn incarnation(&self) -> u64 {
        eventually(async || self.handle.ask(Msg::Ping, SECOND).await.ok()).await
    }

    /// Waits for a life after `incarnation`.
    pub(crate) async fn reborn_after(&self, incarnation: u64) -> u64 {
        eventually(async || Some(self.incarnation().await).filter(|now| *now > incarnation)).await
    }
}

/// Waits, at most 30 s, until the condition gives something.
pub(crate) async fn eventually<T>(condition: impl AsyncFn() -> Option<T>) -> T {
    let trying = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(30 * SECOND, trying)
        .await
        .expect("the condition holds in time")
}

pub(crate) fn children<const N: usize>(ids: [&'static str; N], log: &Log) -> [Child; N] {
    ids.map(|id| Child::new(id, log))
}

pub(crate) fn tree<'a>(
    strategy: Strategy,
    max: u32,
    children: impl IntoIterator<Item = &'a Child>,
) -> TreeSpec {
    let tree = TreeSpec::new(
        strategy,
        Intensity {
            max,
            within: 5 * SECOND,
        },
    );
    children
        .into_iter()
        .fold(tree, |tree, child| tree.child(child.spec()))
}

pub(crate) async fn start(spec: TreeSpec) -> Tree {
    Tree::start("root", spec).await.unwrap()
}

pub(crate) struct Probe(Child);

pub(crate) struct State {
    id: &'static str,
    log: Log,
}

impl Drop for State {
    fn drop(&mut self) {
        self.log.write(format!("~{}", self.id));
    }
}

impl Actor for Probe {
    type Msg = Msg;
    type State = State;

    async fn start(&self, _: &Ctx<Msg>) -> Result<State, Failure> {
        let Child {
            id,
            log,
            failing_starts,
            ..
        } = &self.0;
        tokio::time::sleep(self.0.start_takes).await;
        if failing_starts
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok()
        {
            log.write(format!("!{id}"));
            return Err(Failure::new("no luck"));
        }
        log.write(format!("+{id}"));
        Ok(State { id, log: log.clone() })
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, _: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Fail | Msg::FailAsked(_) => return Err(Failure::new("boom")),
            Msg::Panic => panic!("boom"),
            Msg::Leave => ctx.stop_self(),
            Msg::Hang => std::future::pending().await,
            Msg::Block(until) => drop(until.recv()),
            Msg::Ping(reply) => drop(reply.send(ctx.incarnation())),
            Msg::Slow(reply, delay) => {
                tokio::time::sleep(delay).await;
                reply.send(ctx.incarnation());
            }
        }
        Ok(())
    }

    async fn stop(&self, _: &Ctx<Msg>, _: &mut State) {
        tokio::time::sleep(self.0.stop_takes).await;
        self.0.log.write(format!("-{}", self.0.id));
    }
}
