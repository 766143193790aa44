//! The watch over actors that block their thread.
//!
//! The one idea: an actor in synchronous code cannot be ended, and enough of them stop the runtime, so whoever raises
//! the alarm must not need the runtime. This is a thread of its own that looks into the directory once a second. It ends
//! nobody: the process's health check fails in time, and whoever runs the process starts it anew.
//!
//! It also nudges the runtime. The thread that drives all timers and sockets runs tasks as well; if one of those blocks
//! it while the other threads sleep, nobody wakes them, and every clock of the process stands still with that one actor.
//! A task from outside wakes a thread, which takes the drive over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::{error, warn};

use crate::directory::Directory;
use crate::events::Happening;
use crate::life::Record;
use crate::tree::StartError;

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(1);

/// A running watch. It ends with this value.
pub(crate) struct Watch {
    _end: Sender<()>,
}

impl Watch {
    pub(crate) fn start(directory: &Directory) -> Result<Self, StartError> {
        let (directory, runtime) = (directory.clone(), Handle::current());
        let (end, ended) = channel();
        let watching = move || {
            // Virtual time, where there is some, is the runtime's.
            let _entered = runtime.enter();
            watch(&directory, &runtime, &ended);
        };
        let thread = Builder::new().name("hiveforge-watch".to_owned()).spawn(watching);
        thread.map_err(|error| StartError::NoThread {
            why: error.to_string(),
        })?;
        Ok(Self { _end: end })
    }
}

fn watch(directory: &Directory, runtime: &Handle, ended: &Receiver<()>) {
    // By the serial: a successor may have the same place and the same number.
    let mut known: HashMap<u64, Arc<Record>> = HashMap::new();
    while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        nudge(runtime);
        let mut stuck = HashMap::new();
        for (record, stuck_for) in directory.stuck() {
            if !known.contains_key(&record.serial) {
                let (path, incarnation) = (&record.birth.path, record.birth.incarnation);
                error!(target: "hiveforge.supervisor", %path, incarnation, ?stuck_for, "actor is stuck in synchronous code");
                directory.note(path, incarnation, Happening::Stuck);
            }
            stuck.insert(record.serial, record);
        }
        for record in known
            .into_values()
            .filter(|record| !stuck.contains_key(&record.serial))
        {
            let (path, incarnation) = (&record.birth.path, record.birth.incarnation);
            warn!(target: "hiveforge.supervisor", %path, incarnation, "actor is no longer stuck");
            directory.note(path, incarnation, Happening::Unstuck);
        }
        known = stuck;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it does nothing, so there is nothing to supervise"
)]
fn nudge(runtime: &Handle) {
    drop(runtime.spawn(async {}));
}
