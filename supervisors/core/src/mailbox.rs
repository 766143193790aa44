//! The mailbox of one incarnation: a bound, and counts.
//!
//! The one idea: `ractor` queues are unbounded, so every message from outside carries a permit of the receiver. The
//! permit is given back when the message is taken out, or when the queue is thrown away at the receiver's death.
//! Depth is therefore exact without asking anybody. What an actor tells itself travels without a permit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What travels through `ractor`.
pub(crate) struct Envelope<M> {
    pub(crate) load: Load<M>,
    queued_at: Instant,
    permit: Option<OwnedSemaphorePermit>,
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
            queued_at: Instant::now(),
            permit: None,
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
    pub(crate) fn send(&self, msg: M, permit: OwnedSemaphorePermit) -> bool {
        let envelope = Envelope {
            load: Load::Told(msg),
            queued_at: Instant::now(),
            permit: Some(permit),
        };
        let accepted = self.actor.send_message(envelope).is_ok();
        if accepted {
            self.stats.sent.fetch_add(1, Ordering::Relaxed);
        }
        accepted
    }
}

/// Counts of one incarnation, written by its mailbox and read by the directory.
pub(crate) struct ActorStats {
    capacity: usize,
    pub(crate) permits: Arc<Semaphore>,
    sent: AtomicU64,
    handled: AtomicU64,
    waited_ns: AtomicU64,
}

impl ActorStats {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            permits: Arc::new(Semaphore::new(capacity)),
            sent: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
        }
    }

    /// Takes the load out of its envelope, which gives the permit back.
    pub(crate) fn open<M>(&self, envelope: Envelope<M>) -> Load<M> {
        if let Some(permit) = envelope.permit {
            drop(permit);
            let waited = u64::try_from(envelope.queued_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.waited_ns.fetch_add(waited, Ordering::Relaxed);
            self.handled.fetch_add(1, Ordering::Relaxed);
        }
        envelope.load
    }

    pub(crate) fn depth(&self) -> usize {
        self.capacity - self.permits.available_permits()
    }

    pub(crate) fn info(&self) -> MailboxInfo {
        MailboxInfo {
            depth: self.depth(),
            capacity: self.capacity,
            sent: self.sent.load(Ordering::Relaxed),
            handled: self.handled.load(Ordering::Relaxed),
            waited: Duration::from_nanos(self.waited_ns.load(Ordering::Relaxed)),
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
    /// The time that all handled messages together have waited.
    pub waited: Duration,
}
