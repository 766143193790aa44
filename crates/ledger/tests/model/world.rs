//! One state of the model: a store, two agents, two coordinators, what travels between them, and the time.
//!
//! Hash and equality ignore history: two worlds are one when nobody could ever tell them apart. Journals, chain heads
//! and past times do not count, versions count only as "still the current one", and times count from now on. So the
//! states of a pool are finitely many although its clock and its journal grow for ever. The two coordinators have no
//! names: worlds that differ in which of them does what are one, too.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ledger::plan::Overdue;
use ledger::record::{BeatRecord, Stored};
use ledger::transaction::StoredJob;
use nexus::{Score, Transaction, Version};

use crate::bounds::{Bounds, End};
use crate::pool::Pool;
use crate::promises::Promise;
use crate::view::View;

/// A state.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) pool: Pool,
    /// The tick that the nexus's clock shows.
    pub(crate) now: u64,
    pub(crate) agents: Vec<Agent>,
    pub(crate) coordinators: Vec<Work>,
    /// Requests that were sent. They stay: each may arrive late, more than once or never.
    pub(crate) wire: BTreeSet<Message>,
    pub(crate) left: Left,
    pub(crate) ghost: Ghost,
    pub(crate) view: Arc<View>,
}

/// An agent, and the one lease that it believes in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Agent {
    /// How often it died before.
    pub(crate) process: u8,
    pub(crate) lease: Option<Lease>,
}

/// A lease as its agent knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lease {
    pub(crate) job: usize,
    pub(crate) attempt: u32,
    /// From this tick on the run is frozen: counted from when the last accepted request was sent.
    pub(crate) fence_at: u64,
    /// It heard that the job is to be cancelled.
    pub(crate) cancelled: bool,
    /// The run has ended; the finish is not acknowledged.
    pub(crate) ended: bool,
}

/// A request that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Message {
    Finish { job: usize, attempt: u32, end: End },
    GiveBack { job: usize, attempt: u32 },
    Cancel { job: usize },
}

/// What a coordinator is in the middle of: what it has read and not yet committed. All of it is lost in a crash.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Idle,
    /// Took a job for an agent's claim.
    Taken {
        agent: usize,
        process: u8,
        job: usize,
        before: Arc<StoredJob>,
        held_until: Score,
        read_at: u64,
    },
    /// Claimed a job whose agent did not hear of it, and is about to give it back.
    Untold {
        agent: usize,
        process: u8,
        job: usize,
        attempt: u32,
        deadline: Score,
        read_at: u64,
    },
    /// Read a job for a renewal.
    Renewing {
        agent: usize,
        process: u8,
        job: usize,
        tx: Arc<Transaction>,
        before: Arc<StoredJob>,
        read_at: u64,
    },
    /// Read a job for a request.
    Handling {
        message: Message,
        before: Arc<StoredJob>,
        read_at: u64,
    },
    /// Read the last beat.
    BeatRead {
        last: Option<(Version, Stored<BeatRecord>)>,
        read_at: u64,
    },
    /// Read which leases are overdue.
    Reaping {
        targets: Vec<Target>,
        read_at: u64,
        /// Since when reapers had been beating without a gap.
        served_since: u64,
    },
    /// Read that a hold is over.
    Returning {
        job: usize,
        until: Score,
        before: Arc<StoredJob>,
    },
}

/// A lease that a reaper is about to take.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) job: usize,
    pub(crate) before: Arc<StoredJob>,
    pub(crate) overdue: Overdue,
    /// Its agent renewed it since.
    pub(crate) renewed: bool,
}

/// Faults that may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) deaths: u8,
    pub(crate) give_backs: u8,
}

/// What only the checker knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// Promises that some step has broken.
    pub(crate) broken: BTreeSet<Promise>,
    /// The beat since which there was no gap.
    pub(crate) served_since: u64,
    /// Running jobs whose cancel was acknowledged.
    pub(crate) cancels: BTreeSet<usize>,
    /// A hold that nobody claimed was ended.
    pub(crate) returned: bool,
    /// Jobs whose lease was overdue when a reaper kept a grace.
    pub(crate) graced: BTreeSet<usize>,
    /// One of those was renewed.
    pub(crate) saved: bool,
}

impl World {
    /// Jobs in their lanes, idle agents, and reapers that have been at work for long enough.
    pub(crate) fn new(bounds: &Bounds) -> Self {
        let cancels = (0..bounds.jobs)
            .filter(|_| bounds.cancels)
            .map(|job| Message::Cancel { job });
        let mut world = Self {
            pool: Pool::new(bounds, 0),
            now: 0,
            agents: vec![
                Agent {
                    process: 0,
                    lease: None
                };
                2
            ],
            coordinators: vec![Work::Idle; 2],
            wire: cancels.collect(),
            left: Left {
                deaths: bounds.deaths,
                give_backs: bounds.give_backs,
            },
            ghost: Ghost {
                broken: BTreeSet::new(),
                served_since: 0,
                cancels: BTreeSet::new(),
                returned: false,
                graced: BTreeSet::new(),
                saved: false,
            },
            view: Arc::default(),
        };
        world.warm_up(bounds);
        world
    }

    /// Ticks until the grace of the very first beat is over.
    fn warm_up(&mut self, bounds: &Bounds) {
        for tick in 0..=bounds.grace() {
            self.now = tick;
            let id = self.pool.tx_id();
            let (last, now) = (self.pool.beat(), crate::sample::time(tick));
            let beat = ledger::plan::beat(id, last.as_ref(), now, bounds.ttl_max());
            let (_, tx) = beat.expect("a tick is long enough");
            assert!(self.pool.commit(&tx));
        }
        self.view = Arc::new(View::of(self, bounds));
    }

    /// Whether no step on the way here has broken the promise.
    pub(crate) fn keeps(&self, promise: Promise) -> bool {
        !self.ghost.broken.contains(&promise)
    }
}

impl Message {
    pub(crate) const fn job(&self) -> usize {
        match self {
            Self::Finish { job, .. } | Self::GiveBack { job, .. } | Self::Cancel { job } => *job,
        }
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.view == other.view
    }
}

impl Eq for World {}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.view.hash(state);
    }
}
