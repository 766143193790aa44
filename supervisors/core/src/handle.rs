//! The way to an actor that survives its restarts.
//!
//! The one idea: a handle is made before the tree, given to the spec of one child, and pointed at each incarnation
//! as it comes up. Whoever holds it never sees the restart, only `Down` while nobody is there. What was queued
//! dies with the incarnation, and so do its replies: an asker hears `Down` at once, not a time-out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use thiserror::Error;
use tokio::sync::{TryAcquireError, oneshot};
use tokio::time::timeout;

use crate::mailbox::Mailbox;

/// The way to an actor. Cheap to clone; belongs to exactly one child spec.
pub struct Handle<M> {
    inner: Arc<Inner<M>>,
}

struct Inner<M> {
    name: Box<str>,
    capacity: usize,
    bound: ArcSwapOption<Mailbox<M>>,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// As many messages are waiting as its capacity allows.
    #[error("actor is busy: its mailbox is full")]
    Busy,
    /// No incarnation is up.
    #[error("actor is down")]
    Down,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AskError {
    /// The question was not taken: as many messages are waiting as the capacity allows.
    #[error("actor is busy: its mailbox is full")]
    Busy,
    /// The actor is down, died before it answered, or dropped the reply. The message may have been handled.
    #[error("actor is down, or ended without an answer")]
    Down,
    /// No answer in time. The message may still be handled.
    #[error("actor did not answer in time")]
    TimedOut,
}

impl From<Refused> for AskError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => Self::Busy,
            Refused::Down => Self::Down,
        }
    }
}

impl<M: Send + 'static> Handle<M> {
    /// Makes a handle that nobody answers yet. At most `capacity` messages from outside wait in its mailbox.
    pub fn new(name: impl Into<String>, capacity: usize) -> Self {
        assert!(capacity > 0, "a mailbox needs room for one message");
        let bound = ArcSwapOption::empty();
        Self {
            inner: Arc::new(Inner {
                name: name.into().into(),
                capacity,
                bound,
            }),
        }
    }

    /// Returns the name given at creation.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Sends without waiting.
    pub fn try_tell(&self, msg: M) -> Result<(), Refused> {
        let mailbox = self.inner.bound.load();
        let mailbox = mailbox.as_ref().ok_or(Refused::Down)?;
        let permit = mailbox.stats().permits.try_acquire().map_err(|e| match e {
            TryAcquireError::NoPermits => Refused::Busy,
            TryAcquireError::Closed => Refused::Down,
        })?;
        mailbox.send(msg, permit).then_some(()).ok_or(Refused::Down)
    }

    /// Sends, and waits for room if the mailbox is full. For edges only (HTTP handlers, command lines): two actors
    /// that wait for each other's room never wake again. Returns [`Refused::Down`] if the incarnation ends meanwhile.
    pub async fn tell_waiting(&self, msg: M) -> Result<(), Refused> {
        let mailbox = self.inner.bound.load_full().ok_or(Refused::Down)?;
        let permit = mailbox
            .stats()
            .permits
            .acquire()
            .await
            .map_err(|_closed| Refused::Down)?;
        mailbox.send(msg, permit).then_some(()).ok_or(Refused::Down)
    }

    /// Asks, and waits for the answer at most `limit`. Never waits for room in the mailbox.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> M,
        limit: Duration,
    ) -> Result<R, AskError> {
        timeout(limit, self.ask_until_down(question))
            .await
            .unwrap_or(Err(AskError::TimedOut))
    }

    /// Asks, and waits until there is an answer or nobody who could give one.
    pub(crate) async fn ask_until_down<R: Send + 'static>(
        &self,
        question: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, AskError> {
        let (tx, rx) = oneshot::channel();
        self.try_tell(question(Reply(tx)))?;
        rx.await.map_err(|_dropped| AskError::Down)
    }

    /// Returns how many messages wait now; 0 while nobody is up.
    pub fn depth(&self) -> usize {
        self.inner
            .bound
            .load()
            .as_ref()
            .map_or(0, |mailbox| mailbox.stats().depth())
    }

    pub(crate) fn capacity(&self) -> usize {
        self.inner.capacity
    }

    /// Points the handle at an incarnation that is up. Who waits for room at one that was abandoned waits no longer.
    pub(crate) fn bind(&self, mailbox: Mailbox<M>) -> Arc<Mailbox<M>> {
        let mailbox = Arc::new(mailbox);
        if let Some(abandoned) = self.inner.bound.swap(Some(Arc::clone(&mailbox))) {
            abandoned.stats().permits.close();
        }
        mailbox
    }

    /// Takes the handle off an incarnation that ended. A successor's binding is left alone.
    pub(crate) fn unbind(&self, mailbox: &Arc<Mailbox<M>>) {
        mailbox.stats().permits.close();
        self.inner.bound.compare_and_swap(mailbox, None);
    }
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<M> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?})", self.inner.name)
    }
}

/// The right to answer one question, once. Dropping it tells the asker [`AskError::Down`].
#[derive(Debug)]
pub struct Reply<R>(oneshot::Sender<R>);

impl<R> Reply<R> {
    /// Answers. Returns false if the asker no longer waits.
    pub fn send(self, answer: R) -> bool {
        self.0.send(answer).is_ok()
    }

    /// Returns true if the asker no longer waits, so that the work can be spared.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
