//! The live actors of one tree, by path.
//!
//! The one idea: an actor is in the directory for exactly as long as anything of it exists. It enters before its start
//! and leaves when its task, state and own tasks are gone, so the directory is both what an observer reads and what
//! a restart waits for. Reading never calls an actor: that is when one most wants to read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::events::{Events, Happening, Totals, TreeEvent};
#[cfg(feature = "faults")]
use crate::faults::Faults;
use crate::life::Record;
use crate::mailbox::MailboxInfo;
use crate::{Exit, TreePath};

/// How long a killed actor may take to be gone. An await point is enough; an actor stuck in synchronous code
/// cannot be killed and is abandoned after this time.
pub const KILL_GRACE: Duration = Duration::from_secs(1);

/// The live actors of one tree. Cheap to clone.
#[derive(Clone, Default)]
pub struct Directory {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// A lock and not an actor: whoever reads it must not wait for anybody, and it is held for one map operation.
    records: Mutex<BTreeMap<(TreePath, u64), Arc<Record>>>,
    serial: AtomicU64,
    events: Events,
    #[cfg(feature = "faults")]
    faults: Faults,
}

/// What an actor is for its supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does the work.
    Worker,
    /// It supervises a fixed list of children.
    Supervisor,
    /// It supervises children started on demand.
    Dynamic,
}

/// Where an actor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ActorState {
    /// Its start has not finished.
    Starting,
    /// It handles messages.
    Running,
    /// It was asked to stop, or killed.
    Stopping,
    /// It did not end when killed: stuck in synchronous code. Its place may be taken by a successor.
    Abandoned,
    /// It has worked for longer than it may and could not be ended for it: stuck in synchronous code.
    Stuck,
}

/// What the directory knows of one actor.
#[derive(Clone, Debug)]
pub struct ActorInfo {
    /// Its place in the tree.
    pub path: TreePath,
    /// The number of this life; it rises with every start of this child by the same supervisor.
    pub incarnation: u64,
    /// Whether it works or supervises.
    pub kind: Kind,
    /// Where it is in its life.
    pub state: ActorState,
    /// When this life began, its start included.
    pub started_at: std::time::Instant,
    /// How often this child was started again by its present supervisor.
    pub restarts: u64,
    /// How the previous life ended, if there was one.
    pub last_exit: Option<Exit>,
    /// For how long it has been at work on its present message; none between messages.
    pub busy_for: Option<Duration>,
    /// How near a supervisor is to giving up; none for workers.
    pub window: Option<WindowInfo>,
    /// Its mailbox; for a supervisor, the requests to it.
    pub mailbox: MailboxInfo,
}

/// How many failures a supervisor has had lately, and how many are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowInfo {
    /// Restarts within the window that ends now.
    pub restarts: usize,
    /// With one more than these it gives up.
    pub max: u32,
    /// The length of the window.
    pub within: Duration,
}

impl Directory {
    /// Makes the directory of a tree that is yet to start.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns all live actors, parents before their children.
    pub fn list(&self) -> Vec<ActorInfo> {
        let now = Instant::now();
        self.alive()
            .iter()
            .filter_map(|record| record.info(now))
            .collect()
    }

    /// Returns what happened last, at most [`EVENTS_MAX`](crate::EVENTS_MAX) events, oldest first.
    pub fn events(&self) -> Vec<TreeEvent> {
        self.inner.events.last()
    }

    /// Returns how often things have happened.
    pub fn totals(&self) -> Totals {
        self.inner.events.totals()
    }

    /// Returns the actor that has been stuck in synchronous code for the longest time, and for how long.
    pub fn longest_stuck(&self) -> Option<(TreePath, Duration)> {
        let stuck = self.stuck().into_iter().max_by_key(|(_, stuck_for)| *stuck_for);
        stuck.map(|(record, stuck_for)| (record.birth.path.clone(), stuck_for))
    }

    /// Returns the latest life at `path`, if it is alive.
    pub fn find(&self, path: &str) -> Option<ActorInfo> {
        self.latest(path).and_then(|record| record.info(Instant::now()))
    }

    /// The faults that are to happen in this tree.
    #[cfg(feature = "faults")]
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Kills the latest life at `path`, as if by accident. Returns false if there is none.
    #[cfg(feature = "faults")]
    pub fn kill(&self, path: &str) -> bool {
        let record = self.latest(path);
        let presence = record.as_ref().and_then(|record| record.presence());
        presence.inspect(|presence| presence.cell.kill()).is_some()
    }

    /// Writes down among the events that a fault was put at `path` on purpose, as drills do.
    #[cfg(feature = "faults")]
    pub fn note_fault(&self, path: &str, fault: &str) {
        let incarnation = self.latest(path).map_or(0, |record| record.birth.incarnation);
        self.note(
            &TreePath::root(path),
            incarnation,
            Happening::Injected(fault.to_owned()),
        );
    }

    pub(crate) fn latest(&self, path: &str) -> Option<Arc<Record>> {
        let path = TreePath::root(path);
        let records = self.records();
        let (_, record) = records.range((path.clone(), 0)..=(path, u64::MAX)).next_back()?;
        Some(Arc::clone(record))
    }

    /// Ends whatever is left at `path` and under it, and waits until it is gone, at most [`KILL_GRACE`].
    /// A successor is started only after this. What does not go is marked as abandoned. Nothing is ended on behalf of a
    /// supervisor that is abandoned itself: its places may be its successor's.
    pub(crate) async fn clear(&self, path: &TreePath, on_behalf: &Record) {
        let deadline = Instant::now() + KILL_GRACE;
        while on_behalf.state() != ActorState::Abandoned {
            let left = self.at_and_under(path);
            if left.is_empty() {
                return;
            }
            left.iter().for_each(|record| record.kill());
            for record in left {
                if timeout_at(deadline, record.gone()).await.is_err() && record.abandon() {
                    self.note(&record.birth.path, record.birth.incarnation, Happening::Abandoned);
                }
            }
            // Once more: a supervisor may have started a child just before it was killed.
        }
    }

    /// Returns the paths of those that could not be ended and still exist.
    pub(crate) fn abandoned(&self) -> Vec<TreePath> {
        let records = self.records();
        let abandoned = records
            .values()
            .filter(|record| record.state() == ActorState::Abandoned);
        abandoned.map(|record| record.birth.path.clone()).collect()
    }

    fn at_and_under(&self, path: &TreePath) -> Vec<Arc<Record>> {
        let records = self.records();
        let at = records.range((path.clone(), 0)..=(path.clone(), u64::MAX));
        let under = records.range((path.start_of_subtree(), 0)..(path.end_of_subtree(), 0));
        let alive = at
            .chain(under)
            .filter(|(_, record)| record.state() != ActorState::Abandoned);
        alive.map(|(_, record)| Arc::clone(record)).collect()
    }

    /// Returns those that are stuck now, and for how long.
    pub(crate) fn stuck(&self) -> Vec<(Arc<Record>, Duration)> {
        let now = Instant::now();
        let stuck = |record: Arc<Record>| record.stuck_for(now).map(|stuck_for| (record, stuck_for));
        self.alive().into_iter().filter_map(stuck).collect()
    }

    pub(crate) fn note(&self, path: &TreePath, incarnation: u64, what: Happening) {
        self.inner
            .events
            .note(Instant::now().into_std(), path, incarnation, what);
    }

    pub(crate) fn next_serial(&self) -> u64 {
        self.inner.serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn enter(&self, record: &Arc<Record>) {
        let key = (record.birth.path.clone(), record.serial);
        self.records().insert(key, Arc::clone(record));
    }

    pub(crate) fn leave(&self, record: &Record) {
        let key = (record.birth.path.clone(), record.serial);
        // The lock is given back before what the record held is dropped.
        let record = self.records().remove(&key);
        drop(record);
    }

    /// Returns the records, so that they can be looked at without the lock.
    fn alive(&self) -> Vec<Arc<Record>> {
        self.records().values().map(Arc::clone).collect()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<(TreePath, u64), Arc<Record>>> {
        self.inner.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
