//! The live actors of one tree, by path.
//!
//! The one idea: an actor is in the directory for exactly as long as anything of it exists. It enters before its start
//! and leaves when its task, state and own tasks are gone, so the directory is both what an observer reads and what
//! a restart waits for. Reading never calls an actor: that is when one most wants to read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ractor::ActorCell;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::error;

use crate::mailbox::{ActorStats, MailboxInfo};
use crate::supervisor::Command;
use crate::{Exit, Handle, TreePath};

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
    /// Its mailbox; for a supervisor, the requests to it.
    pub mailbox: MailboxInfo,
}

impl Directory {
    /// Returns all live actors, parents before their children.
    pub fn list(&self) -> Vec<ActorInfo> {
        self.records()
            .values()
            .filter_map(|record| record.info())
            .collect()
    }

    /// Returns the latest life at `path`, if it is alive.
    pub fn find(&self, path: &str) -> Option<ActorInfo> {
        self.latest(path).and_then(|record| record.info())
    }

    pub(crate) fn latest(&self, path: &str) -> Option<Arc<Record>> {
        let path = TreePath::root(path);
        let records = self.records();
        let (_, record) = records.range((path.clone(), 0)..=(path, u64::MAX)).next_back()?;
        Some(Arc::clone(record))
    }

    /// Ends whatever is left at `path` and under it, and waits until it is gone, at most [`KILL_GRACE`].
    /// A successor is started only after this. What does not go is marked as abandoned.
    pub(crate) async fn clear(&self, path: &TreePath) {
        let deadline = Instant::now() + KILL_GRACE;
        loop {
            let left = self.at_and_under(path);
            if left.is_empty() {
                return;
            }
            left.iter().for_each(|record| record.kill());
            for record in left {
                if timeout_at(deadline, record.gone()).await.is_err() {
                    record.abandon();
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

    fn records(&self) -> MutexGuard<'_, BTreeMap<(TreePath, u64), Arc<Record>>> {
        self.inner.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said about a life before it begins.
pub(crate) struct Birth {
    pub(crate) path: TreePath,
    /// Unique in the process: the names of all ancestors, each with its incarnation.
    pub(crate) name: String,
    pub(crate) incarnation: u64,
    pub(crate) kind: Kind,
    pub(crate) restarts: u64,
    pub(crate) last_exit: Option<Exit>,
}

/// One life in the directory.
pub(crate) struct Record {
    pub(crate) birth: Birth,
    serial: u64,
    started_at: Instant,
    state: AtomicU8,
    presence: OnceLock<Presence>,
    gone: watch::Receiver<()>,
}

/// What is known of a life once `ractor` knows it.
pub(crate) struct Presence {
    pub(crate) cell: ActorCell,
    pub(crate) stats: Arc<ActorStats>,
    pub(crate) commands: Option<Handle<Command>>,
}

impl Record {
    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.presence.get()
    }

    /// Waits until nothing of this life exists.
    pub(crate) async fn gone(&self) {
        // The sender never sends; it is dropped by the life itself.
        self.gone.clone().changed().await.ok();
    }

    pub(crate) fn stop(&self) {
        self.set_state(ActorState::Stopping);
        if let Some(presence) = self.presence() {
            presence.cell.stop(Some(Exit::Shutdown.to_reason()));
        }
    }

    pub(crate) fn kill(&self) {
        self.set_state(ActorState::Stopping);
        if let Some(presence) = self.presence() {
            presence.cell.kill();
        }
    }

    fn abandon(&self) {
        self.set_state(ActorState::Abandoned);
        let Birth {
            path, incarnation, ..
        } = &self.birth;
        error!(target: "hiveforge.supervisor", %path, incarnation, "actor does not end when killed: abandoned");
    }

    pub(crate) fn set_state(&self, state: ActorState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    fn state(&self) -> ActorState {
        use ActorState::{Abandoned, Running, Starting, Stopping};
        [Starting, Running, Stopping, Abandoned][usize::from(self.state.load(Ordering::Relaxed))]
    }

    fn info(&self) -> Option<ActorInfo> {
        Some(ActorInfo {
            path: self.birth.path.clone(),
            incarnation: self.birth.incarnation,
            kind: self.birth.kind,
            state: self.state(),
            started_at: self.started_at.into_std(),
            restarts: self.birth.restarts,
            last_exit: self.birth.last_exit.clone(),
            mailbox: self.presence()?.stats.info(),
        })
    }
}

/// Held by everything that an actor is made of; its end is the actor's end.
pub(crate) struct Life {
    pub(crate) record: Arc<Record>,
    pub(crate) directory: Directory,
    _alive: watch::Sender<()>,
}

impl Life {
    pub(crate) fn new(directory: &Directory, birth: Birth) -> Self {
        let (alive, gone) = watch::channel(());
        let record = Record {
            birth,
            serial: directory.inner.serial.fetch_add(1, Ordering::Relaxed),
            started_at: Instant::now(),
            state: AtomicU8::new(ActorState::Starting as u8),
            presence: OnceLock::new(),
            gone,
        };
        Self {
            record: Arc::new(record),
            directory: directory.clone(),
            _alive: alive,
        }
    }

    /// Puts the life into the directory.
    pub(crate) fn enter(&self, presence: Presence) {
        self.record.presence.get_or_init(|| presence);
        let key = (self.record.birth.path.clone(), self.record.serial);
        self.directory.records().insert(key, Arc::clone(&self.record));
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let key = (self.record.birth.path.clone(), self.record.serial);
        // The lock is given back before what the record held is dropped.
        let record = self.directory.records().remove(&key);
        drop(record);
    }
}
