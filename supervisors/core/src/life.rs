//! One life of one actor, as the directory knows it.
//!
//! The one idea: the [`Life`] is held by everything that an actor is made of, and its drop is the actor's end; the
//! [`Record`] is what others may know of it. So an end is never announced early, whichever way it came about.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ractor::ActorCell;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::error;

use crate::directory::{ActorInfo, ActorState, Directory, Kind, WindowInfo};
#[cfg(feature = "faults")]
use crate::faults::LongestHandling;
use crate::mailbox::ActorStats;
use crate::spec::Intensity;
use crate::supervisor::Command;
use crate::{Exit, Handle, TreePath};

/// How much longer than its limit something may take before it is called stuck: an async handler is ended at its
/// limit, if only the runtime gets to it.
const STUCK_GRACE: Duration = Duration::from_millis(500);

/// What is said about a life before it begins.
pub(crate) struct Birth {
    pub(crate) path: TreePath,
    /// Unique in the process: the names of all ancestors, each with its incarnation.
    pub(crate) name: String,
    pub(crate) incarnation: u64,
    pub(crate) kind: Kind,
    pub(crate) limits: Limits,
    pub(crate) restarts: u64,
    pub(crate) last_exit: Option<Exit>,
}

/// How long an actor may take; nothing for supervisors, which take as long as their children.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) start: Option<Duration>,
    pub(crate) handle: Option<Duration>,
}

/// One life in the directory.
pub(crate) struct Record {
    pub(crate) birth: Birth,
    pub(crate) serial: u64,
    started_at: Instant,
    state: AtomicU8,
    presence: OnceLock<Presence>,
    /// A lock and not a message: written at restarts only, read by whoever looks.
    recent: Mutex<Option<Recent>>,
    /// How it ends, said by itself before it is gone.
    last_word: OnceLock<Exit>,
    gone: watch::Receiver<()>,
    #[cfg(feature = "faults")]
    longest_handling: LongestHandling,
}

/// What is known of a life once `ractor` knows it.
pub(crate) struct Presence {
    pub(crate) cell: ActorCell,
    pub(crate) stats: Arc<ActorStats>,
    pub(crate) commands: Option<Handle<Command>>,
}

/// The restarts that a supervisor has counted.
struct Recent {
    intensity: Intensity,
    restarts: Vec<std::time::Instant>,
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

    /// Says how this life is about to end. Its supervisor may be ending it at this moment, and will not look at the event
    /// that `ractor` sends.
    pub(crate) fn note_exit(&self, exit: Exit) {
        self.last_word.get_or_init(|| exit);
    }

    pub(crate) fn last_word(&self) -> Option<&Exit> {
        self.last_word.get()
    }

    pub(crate) fn stop(&self) {
        self.stopping();
        if let Some(presence) = self.presence() {
            presence.cell.stop(Some(Exit::Shutdown.to_reason()));
        }
    }

    pub(crate) fn kill(&self) {
        self.stopping();
        if let Some(presence) = self.presence() {
            presence.cell.kill();
        }
    }

    /// Returns false if it is abandoned already.
    pub(crate) fn abandon(&self) -> bool {
        let before = self.state.swap(ActorState::Abandoned as u8, Ordering::Relaxed);
        if before == ActorState::Abandoned as u8 {
            return false;
        }
        let Birth {
            path, incarnation, ..
        } = &self.birth;
        error!(target: "hiveforge.supervisor", %path, incarnation, "actor does not end when killed: abandoned");
        true
    }

    /// The start is done. Returns false if nobody wants it any more: it came back after it was ended or abandoned, and
    /// its place may have been taken.
    pub(crate) fn running(&self) -> bool {
        let (starting, running) = (ActorState::Starting as u8, ActorState::Running as u8);
        let exchanged = self
            .state
            .compare_exchange(starting, running, Ordering::AcqRel, Ordering::Relaxed);
        exchanged.is_ok()
    }

    /// It is ending. Who is abandoned stays so.
    pub(crate) fn stopping(&self) {
        let abandoned = ActorState::Abandoned as u8;
        let stop = |state| (state != abandoned).then_some(ActorState::Stopping as u8);
        // Refused only for the abandoned.
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, stop)
            .ok();
    }

    pub(crate) fn state(&self) -> ActorState {
        use ActorState::{Abandoned, Running, Starting, Stopping};
        [Starting, Running, Stopping, Abandoned][usize::from(self.state.load(Ordering::Relaxed))]
    }

    /// How long one message may take.
    pub(crate) fn handle_limit(&self) -> Option<Duration> {
        let limit = self.birth.limits.handle;
        #[cfg(feature = "faults")]
        let limit = limit.map(|limit| limit.min(self.longest_handling.get()));
        limit
    }

    /// Keeps what its supervisor's policy has counted, for whoever looks.
    pub(crate) fn note_restarts(&self, intensity: Intensity, restarts: Vec<std::time::Instant>) {
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Recent { intensity, restarts });
    }

    /// Returns for how long what it does now has been overdue: its start or the handling of one message.
    pub(crate) fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let (took, limit) = match self.state() {
            ActorState::Starting => (
                now.saturating_duration_since(self.started_at),
                self.birth.limits.start?,
            ),
            _ => (self.presence()?.stats.busy_for(now)?, self.handle_limit()?),
        };
        took.checked_sub(limit.saturating_add(STUCK_GRACE))
    }

    pub(crate) fn info(&self, now: Instant) -> Option<ActorInfo> {
        let state = match self.state() {
            ActorState::Abandoned => ActorState::Abandoned,
            _ if self.stuck_for(now).is_some() => ActorState::Stuck,
            state => state,
        };
        let presence = self.presence()?;
        Some(ActorInfo {
            path: self.birth.path.clone(),
            incarnation: self.birth.incarnation,
            kind: self.birth.kind,
            state,
            started_at: self.started_at.into_std(),
            restarts: self.birth.restarts,
            last_exit: self.birth.last_exit.clone(),
            busy_for: presence.stats.busy_for(now),
            window: self.window(now),
            mailbox: presence.stats.info(),
        })
    }

    fn window(&self, now: Instant) -> Option<WindowInfo> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let Recent { intensity, restarts } = recent.as_ref()?;
        let is_recent =
            |at: &&std::time::Instant| now.into_std().saturating_duration_since(**at) <= intensity.within;
        Some(WindowInfo {
            restarts: restarts.iter().filter(is_recent).count(),
            max: intensity.max,
            within: intensity.within,
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
            serial: directory.next_serial(),
            started_at: Instant::now(),
            state: AtomicU8::new(ActorState::Starting as u8),
            presence: OnceLock::new(),
            recent: Mutex::new(None),
            last_word: OnceLock::new(),
            gone,
            #[cfg(feature = "faults")]
            longest_handling: directory.faults().longest_handling(),
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
        self.directory.enter(&self.record);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.directory.leave(&self.record);
    }
}
