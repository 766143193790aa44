//! The mailbox of one incarnation: a bound, and counts.
//!
//! The one idea: `ractor` queues are unbounded, so every message from outside takes a permit of the receiver, which is
//! given back when the message is taken out. Permits belong to one incarnation and end with it, as does its queue.
//! Depth is therefore exact without asking anybody. What an actor tells itself travels without a permit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::latency::{Histogram, Waits};

/// What travels through `ractor`.
pub(crate) struct Envelope<M> {
    pub(crate) load: Load<M>,
    /// Only of what counts against the bound.
    queued_at: Option<Instant>,
}

pub(crate) enum Load<M> {
    Told(M),
    /// The number tells a tick that was replaced while it lay in the queue.
    Tick(M, u64),
    TaskPanicked(String),
}

impl<M: Send + 'static> ractor::Message for Envelope<M> {}

impl<M> Envelope<M> {
    /// A message of an actor to itself: not counted against the bound.
    pub(crate) fn internal(load: Load<M>) -> Self {
        Self {
            load,
            queued_at: None,
        }
    }
}

/// The sending side of one incarnation.
pub(crate) struct Mailbox<M> {
    actor: ActorRef<Envelope<M>>,
    stats: Arc<ActorStats>,
}

impl<M: Send + 'static> Mailbox<M> {
    pub(crate) fn new(actor: ActorRef<Envelope<M>>, stats: Arc<ActorStats>) -> Self {
        Self { actor, stats }
    }

    pub(crate) fn stats(&self) -> &Arc<ActorStats> {
        &self.stats
    }

    /// Returns false if the actor is gone; the message is dropped then.
    pub(crate) fn send(&self, msg: M, permit: SemaphorePermit<'_>) -> bool {
        // Given back when the message is taken out. What is lost with the queue is lost with the mailbox.
        permit.forget();
        let envelope = Envelope {
            load: Load::Told(msg),
            queued_at: Some(Instant::now()),
        };
        let accepted = self.actor.send_message(envelope).is_ok();
        if accepted {
            self.stats.sent.fetch_add(1, Ordering::Relaxed);
        }
        accepted
    }
}

/// Counts of one incarnation, written by its mailbox and its task, read by the directory.
pub(crate) struct ActorStats {
    capacity: usize,
    pub(crate) permits: Semaphore,
    sent: AtomicU64,
    waits: Waits,
    born: Instant,
    /// When the present handler began, in nanoseconds after `born`; [`IDLE`] between messages.
    busy_since: AtomicU64,
}

const IDLE: u64 = u64::MAX;

impl ActorStats {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            permits: Semaphore::new(capacity),
            sent: AtomicU64::new(0),
            waits: Waits::default(),
            born: Instant::now(),
            busy_since: AtomicU64::new(IDLE),
        }
    }

    /// Takes the load out of its envelope, which gives the permit back. The actor is busy from `now` on.
    pub(crate) fn open<M>(&self, envelope: Envelope<M>, now: Instant) -> Load<M> {
        let since = u64::try_from(now.duration_since(self.born).as_nanos()).unwrap_or(IDLE);
        self.busy_since.store(since, Ordering::Relaxed);
        if let Some(queued_at) = envelope.queued_at {
            self.permits.add_permits(1);
            self.waits.count(now.duration_since(queued_at));
        }
        envelope.load
    }

    /// The handler is done.
    pub(crate) fn idle(&self) {
        self.busy_since.store(IDLE, Ordering::Relaxed);
    }

    /// Returns for how long the present handler has been at work.
    pub(crate) fn busy_for(&self, now: Instant) -> Option<Duration> {
        let since = self.busy_since.load(Ordering::Relaxed);
        (since != IDLE).then(|| now.saturating_duration_since(self.born + Duration::from_nanos(since)))
    }

    pub(crate) fn depth(&self) -> usize {
        self.capacity - self.permits.available_permits()
    }

    pub(crate) fn info(&self) -> MailboxInfo {
        let waits = self.waits.read();
        MailboxInfo {
            depth: self.depth(),
            capacity: self.capacity,
            sent: self.sent.load(Ordering::Relaxed),
            handled: waits.counts.iter().sum(),
            waits,
        }
    }
}

/// What is known of a mailbox without asking its owner. Counts messages from outside, not those to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxInfo {
    /// Messages waiting now.
    pub depth: usize,
    /// The most that may wait.
    pub capacity: usize,
    /// Messages accepted since this incarnation started.
    pub sent: u64,
    /// Messages taken out since this incarnation started.
    pub handled: u64,
    /// How long the handled messages have waited.
    pub waits: Histogram,
}
