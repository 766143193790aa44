//! Hints: small texts that tell watchers of a space where to look. They are never the truth.
//!
//! A hint may be lost (a slow watcher, another process, a restart), so whoever waits for one also looks by itself now
//! and then. The board is what a backend publishes to; it keeps no hint for a space that nobody watches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::Space;
use crate::limits::HINTS_PENDING_MAX;

/// What a watcher hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A transaction with this hint has been applied.
    Said(Arc<str>),
    /// So many hints were dropped because the watcher was slow: anything may have changed. 0: nobody knows how many, for
    /// the link to the store was down, or has only just come up.
    Missed(u64),
}

/// The hints of one space from the moment of [`watch`](crate::Nexus::watch) on.
#[derive(Debug)]
pub struct Hints {
    receiver: broadcast::Receiver<Hint>,
}

impl Hints {
    /// Waits for the next hint; `None` once the nexus is closed. Safe to cancel: no hint is lost by it.
    pub async fn next(&mut self) -> Option<Hint> {
        match self.receiver.recv().await {
            Ok(hint) => Some(hint),
            Err(RecvError::Lagged(missed)) => Some(Hint::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// The senders of all watched spaces. The mutex is held for a few instructions; publishers are plain threads.
#[derive(Debug)]
pub(crate) struct HintBoard {
    senders: Mutex<Option<HashMap<Space, broadcast::Sender<Hint>>>>,
}

impl HintBoard {
    pub(crate) fn new() -> Self {
        Self {
            senders: Mutex::new(Some(HashMap::new())),
        }
    }

    /// A receiver for the space; one that is at its end already if the board is closed.
    pub(crate) fn watch(&self, space: &Space) -> Hints {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = match senders.as_mut() {
            None => broadcast::channel(1).1,
            Some(open) => open
                .entry(space.clone())
                .or_insert_with(|| broadcast::channel(HINTS_PENDING_MAX).0)
                .subscribe(),
        };
        Hints { receiver }
    }

    /// Tells everybody who watches the space, and forgets a space that nobody watches any more.
    pub(crate) fn publish(&self, space: &Space, hints: &[String]) {
        let said = |hint: &String| Hint::Said(Arc::from(hint.as_str()));
        self.tell(space, hints.iter().map(said));
    }

    /// Tells everybody who watches the space that any number of hints may have been lost.
    pub(crate) fn miss(&self, space: &Space) {
        self.tell(space, std::iter::once(Hint::Missed(0)));
    }

    /// The spaces that somebody watches. Forgets the others.
    pub(crate) fn watched(&self) -> Vec<Space> {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = senders.as_mut() else {
            return Vec::new();
        };
        open.retain(|_, sender| sender.receiver_count() > 0);
        open.keys().cloned().collect()
    }

    fn tell(&self, space: &Space, mut hints: impl Iterator<Item = Hint>) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = senders.as_mut() else { return };
        let Some(sender) = open.get(space) else { return };
        if !hints.all(|hint| sender.send(hint).is_ok()) {
            open.remove(space);
        }
    }

    /// Ends every receiver once it has read what is pending.
    pub(crate) fn close(&self) {
        *self.senders.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(n: usize) -> Vec<String> {
        (0..n).map(|i| i.to_string()).collect()
    }

    #[tokio::test]
    async fn a_slow_watcher_hears_how_many_hints_it_missed() {
        let board = HintBoard::new();
        let space = Space::new("pool/default").unwrap();
        let mut watcher = board.watch(&space);
        board.publish(&space, &hints(HINTS_PENDING_MAX + 3));
        assert_eq!(watcher.next().await, Some(Hint::Missed(3)));
        assert_eq!(watcher.next().await, Some(Hint::Said("3".into())));
    }

    #[tokio::test]
    async fn closing_the_board_ends_old_and_new_watchers() {
        let board = HintBoard::new();
        let space = Space::new("pool/default").unwrap();
        let mut old = board.watch(&space);
        board.publish(&space, &hints(1));
        board.close();
        assert_eq!(old.next().await, Some(Hint::Said("0".into())));
        assert_eq!(old.next().await, None);
        assert_eq!(board.watch(&space).next().await, None);
    }

    #[tokio::test]
    async fn a_space_nobody_watches_is_forgotten() {
        let board = HintBoard::new();
        let space = Space::new("pool/default").unwrap();
        drop(board.watch(&space));
        board.publish(&space, &hints(1));
        let open = board.senders.lock().unwrap();
        assert_eq!(open.as_ref().map(HashMap::len), Some(0));
    }
}
