//! The thread that freezes runs whose leases are about to run out.
//!
//! A thread and not an actor, so that no dead actor can disarm it. It never kills: it only stops what would go on
//! without a lease. Thawing is done by whoever records the next accepted renewal.
//!
//! What it does is a function of the table (`table::RunTable::freeze_due`); here is only when.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;

use tokio::time::Instant;

use crate::clock::BootTime;
use crate::table::RunTable;

/// Wakes the fence when there is something to watch. While it watches anyway, ringing costs one look at a lock.
#[derive(Clone, Default)]
pub(crate) struct Bell {
    shared: Arc<(Mutex<Watch>, Condvar)>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Watch {
    /// Nothing was held when it looked last: it sleeps until the bell rings.
    #[default]
    Asleep,
    /// It looks every now and then.
    Awake,
    /// The table is gone.
    Over,
}

impl Bell {
    /// Something started.
    pub(crate) fn ring(&self) {
        self.set(Watch::Awake);
    }

    fn set(&self, to: Watch) {
        let mut watch = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *watch != to && *watch != Watch::Over {
            *watch = to;
            self.shared.1.notify_all();
        }
    }

    /// Waits until there is something to watch; false when there never will be.
    fn wait(&self) -> bool {
        let watch = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = self.shared.1.wait_while(watch, |watch| *watch == Watch::Asleep);
        *watch.unwrap_or_else(PoisonError::into_inner) == Watch::Awake
    }
}

/// The table's hold on its fence: the thread ends when the table does.
pub(crate) struct Fence {
    bell: Bell,
}

impl Fence {
    /// Starts the thread.
    ///
    /// # Errors
    /// The machine has no thread left.
    pub(crate) fn start(table: &Arc<RunTable>) -> io::Result<Self> {
        let bell = table.bells.fence.clone();
        let (watched, heard) = (Arc::downgrade(table), bell.clone());
        thread::Builder::new()
            .name("fence".to_owned())
            .spawn(move || watch(&watched, &heard))?;
        Ok(Self { bell })
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        self.bell.set(Watch::Over);
    }
}

fn watch(table: &Weak<RunTable>, bell: &Bell) {
    while bell.wait() {
        let Some(table) = table.upgrade() else { return };
        // Asleep before the look: what starts after it rings again.
        bell.set(Watch::Asleep);
        let pause = table.freeze_due(BootTime::now(), Instant::now());
        drop(table);
        if let Some(pause) = pause {
            bell.set(Watch::Awake);
            thread::park_timeout(pause);
        }
    }
}
