//! The run table: every lease that this process holds, and all that must outlive the actors.
//!
//! Actors look here for what to do and write here what they did, so that any of them may die at any moment and its
//! successor goes on in the same place. What the process intends (to drain, to stop) is here too. Parts by concern:
//! `phase` (how far a run has come), `admission` (slots, claims, new leases), `slots` (what a slot does next), `progress`
//! (the steps of a run), `validity` (renewals, freezing), `delivery` (what the coordinator is still to be told),
//! `intent` (draining and stopping), and three memories: `pace`, `forgotten` and `recent`.
//!
//! The table does no IO but signals to processes, and waits for nothing.

mod admission;
mod delivery;
mod forgotten;
mod intent;
mod pace;
mod phase;
mod progress;
mod recent;
mod slots;
#[cfg(test)]
mod tests;
mod validity;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{AgentId, JobId, Lane, Resources};
use protocol::leases::Held;
use tokio::sync::{Notify, watch};

pub use self::admission::Room;
pub(crate) use self::delivery::BATCH_GOOD;
pub use self::delivery::{Batch, Delivery, PutOff, Supply};
pub use self::intent::Stop;
pub use self::phase::{Halt, Outcome, Start};
pub use self::recent::{Again, Word};
pub(crate) use self::slots::QUIET_BYTES;
pub use self::slots::{Duty, Seat};

use self::forgotten::Forgotten;
use self::pace::Pace;
use self::phase::{Entry, Phase};
use self::recent::Recent;
use crate::clock::BootTime;
use crate::run::{Places, Run};

/// What the table is made with.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Whose runs they are.
    pub agent: AgentId,
    /// How many runs at once.
    pub slots: usize,
    /// What all runs together may reserve.
    pub capacity: Resources,
    /// How many leases to take before the process ends; `None` is without end.
    pub quota: Option<usize>,
    /// Where runs keep their files.
    pub places: Places,
}

/// Every held lease of this process.
pub struct RunTable {
    shape: Shape,
    /// One lock and not an actor: the table must be there when actors are not, and the fence is a plain thread. It is
    /// held for a few map operations and never across an await or a file.
    state: Mutex<State>,
    /// What changed, for those who wait.
    pub(crate) bells: Bells,
}

/// Each is rung after its change was written. Who hears one looks at the table; a ring that nobody hears is kept.
#[derive(Default)]
pub(crate) struct Bells {
    /// There is something to start, for an idle slot.
    pub(crate) work: Notify,
    /// There are more leases to start than slots that are served.
    pub(crate) unserved: Notify,
    /// A run has ended, or a lease is to be given back.
    pub(crate) ended: Notify,
    /// A slot is open.
    pub(crate) open: Notify,
    /// The leases should be renewed before their turn: there is news of one.
    pub(crate) renew: Notify,
    /// A log should be shipped now and not at the next tick; one for each slot.
    pub(crate) ship: Vec<Notify>,
    /// Something started: the fence has work.
    pub(crate) fence: crate::fence::Bell,
    /// What the process intends.
    pub(crate) stop: watch::Sender<Stop>,
    /// A run that is over has left something on disk.
    pub(crate) trash: Notify,
    /// How many leases are held, and runs not cleared away.
    pub(crate) held: watch::Sender<usize>,
}

struct State {
    entries: HashMap<Held, Entry>,
    /// Leases that nobody has started, in the order of their arrival.
    unstarted: VecDeque<Arc<Run>>,
    slots: Vec<slots::Slot>,
    /// Ended runs that the coordinator is to be told of, in the order of their ends.
    ended: VecDeque<Arc<Run>>,
    /// How many leases are to be given back.
    returning: usize,
    /// Slots that requests under way ask for.
    reserved: usize,
    /// Leases ahead that requests under way ask for.
    reserved_ahead: usize,
    /// Leases that may still be taken.
    quota: Option<usize>,
    /// The coordinator wants no more jobs here.
    draining: bool,
    pace: Pace,
    /// The lane of the run that was started last.
    lane: Option<Lane>,
    forgotten: Forgotten,
    recent: Recent,
    /// Runs that are over and have left something on disk, with whether it is a work directory.
    trash: Vec<(Arc<Run>, bool)>,
}

impl RunTable {
    /// An empty table.
    pub fn new(shape: Shape) -> Arc<Self> {
        let state = State {
            entries: HashMap::new(),
            unstarted: VecDeque::new(),
            slots: vec![slots::Slot::default(); shape.slots],
            ended: VecDeque::new(),
            returning: 0,
            reserved: 0,
            reserved_ahead: 0,
            quota: shape.quota,
            draining: false,
            pace: Pace::default(),
            lane: None,
            forgotten: Forgotten::default(),
            recent: Recent::default(),
            trash: Vec::new(),
        };
        let ship = (0..shape.slots).map(|_| Notify::new()).collect();
        let bells = Bells {
            ship,
            ..Bells::default()
        };
        Arc::new(Self {
            shape,
            state: Mutex::new(state),
            bells,
        })
    }

    /// How many leases are held, in whatever phase.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether no lease is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where runs keep their files.
    pub(crate) fn places(&self) -> &Places {
        &self.shape.places
    }

    /// Whether the command of a job runs here.
    pub fn is_running(&self, job: &JobId) -> bool {
        let state = self.lock();
        let mut running = state
            .entries
            .values()
            .filter(|entry| matches!(entry.phase, Phase::Running(_)));
        running.any(|entry| entry.run.held.job == *job)
    }

    /// How many leases are held, and runs are over but not cleared away, as it changes.
    pub fn watch_held(&self) -> watch::Receiver<usize> {
        self.bells.held.subscribe()
    }

    /// Whether a lease is held.
    pub(crate) fn holds(&self, held: &Held) -> bool {
        self.lock().entries.contains_key(held)
    }

    /// The runs that are over and have left something on disk, with whether it is a work directory.
    pub(crate) fn trash(&self) -> Vec<(Arc<Run>, bool)> {
        self.lock().trash.clone()
    }

    /// Nothing is left on disk of a run.
    pub(crate) fn cleared(&self, run: &Run) {
        let mut state = self.lock();
        state.trash.retain(|(over, _)| over.held != run.held);
        self.count(&state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a lease for good, whatever its phase. Late replies that still name it are ignored from now on.
    fn forget(&self, state: &mut State, held: &Held) -> Option<Entry> {
        let entry = state.entries.remove(held)?;
        state.forgotten.insert(held, BootTime::now());
        match entry.phase {
            Phase::Unstarted => state.unstarted.retain(|run| run.held != *held),
            Phase::Ended(_) => state.ended.retain(|run| run.held != *held),
            Phase::Preparing | Phase::Starting(_) | Phase::Running(_) | Phase::Collecting(_) => {}
            Phase::Returning(_) => state.returning -= 1,
        }
        if let Some(slot) = entry.slot {
            state.slots[slot].run = None;
        }
        if entry.attempted {
            state.trash.push((Arc::clone(&entry.run), entry.made_files));
            self.bells.trash.notify_one();
        }
        self.count(state);
        Some(entry)
    }

    /// Tells those who wait how many leases are held.
    fn count(&self, state: &State) {
        self.bells
            .held
            .send_replace(state.entries.len() + state.trash.len());
    }
}
