//! Who may make or remove the work directory of a run: one at a time, and nobody who comes late.
//!
//! Such an errand is done on a thread that may be held up for as long as a disk stands still, and goes on when nobody
//! waits for it any more. So each is numbered when it is given, and is not done once there is a later one: what the
//! actor that gave it was about to do is done by its successor, or undone for good.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// The place of one work directory.
#[derive(Debug, Default)]
pub(crate) struct Site {
    latest: AtomicU64,
    /// Held across the work on files, by threads on which nobody else waits.
    busy: Mutex<()>,
}

/// One thing to be done at a site.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Errand(u64);

impl Site {
    /// The next errand. All that were given before and are not being done already will not be done.
    pub(crate) fn errand(&self) -> Errand {
        Errand(self.latest.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Does an errand when the site is free; nothing, if there is a later one by then. Waits for the disk.
    pub(crate) fn run<T>(&self, errand: Errand, work: impl FnOnce() -> T) -> Option<T> {
        let _busy = self.busy();
        self.is_latest(errand).then(work)
    }

    /// Does an errand if the site is free now and there is no later one.
    pub(crate) fn try_run<T>(&self, errand: Errand, work: impl FnOnce() -> T) -> Option<T> {
        let _busy = match self.busy.try_lock() {
            Ok(busy) => busy,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        self.is_latest(errand).then(work)
    }

    fn is_latest(&self, errand: Errand) -> bool {
        self.latest.load(Ordering::SeqCst) == errand.0
    }

    /// Keeps every errand waiting, as a disk does that stands still.
    #[cfg(test)]
    pub(crate) fn hold_up(&self) -> MutexGuard<'_, ()> {
        self.busy()
    }

    fn busy(&self) -> MutexGuard<'_, ()> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_that_comes_after_a_later_one_was_given_is_not_done() {
        let site = Site::default();
        let (early, late) = (site.errand(), site.errand());
        assert_eq!(site.run(late, || 2), Some(2));
        assert_eq!((site.run(early, || 1), site.try_run(early, || 1)), (None, None));
        let busy = site.busy();
        assert_eq!(site.try_run(late, || 2), None);
        drop(busy);
        assert_eq!(site.try_run(late, || 2), Some(2));
    }
}
