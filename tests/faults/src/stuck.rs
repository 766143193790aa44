//! The look at an actor that blocks its thread, from a thread of its own.
//!
//! A blocked worker may keep the timers and sockets of its runtime to itself for so long, so nobody who needs the runtime
//! sees anything of the block while it lasts.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use anyhow::{Context as _, Result};
use supervision::{ActorState, Directory};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::cell::Cell;
use crate::column::Column;
use crate::wait::LIMIT;

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(20);

/// Looks at an actor until it is stuck.
pub struct Stuck(Option<Looking>);

struct Looking {
    seen: oneshot::Receiver<()>,
    _end: Sender<()>,
}

impl Stuck {
    /// Looks at the actor of a cell in which one is blocked; at nobody in others.
    pub fn watch(cell: &Cell, directory: &Directory) -> Self {
        let looking = (cell.column == Column::Block).then(|| {
            let (tell, seen) = oneshot::channel();
            let (end, ended) = channel();
            let (actor, directory) = (cell.row.actor, directory.clone());
            Builder::new()
                .spawn(move || look(actor, &directory, tell, &ended))
                .expect("a test has threads");
            Looking { seen, _end: end }
        });
        Self(looking)
    }

    /// Waits until the directory has shown it as stuck.
    ///
    /// # Errors
    /// It never did.
    pub async fn seen(self) -> Result<()> {
        match self.0 {
            Some(looking) => timeout(LIMIT, looking.seen)
                .await
                .context("it was never shown as stuck")?
                .context("the look at it broke off"),
            None => Ok(()),
        }
    }
}

fn look(actor: &str, directory: &Directory, tell: oneshot::Sender<()>, ended: &Receiver<()>) {
    while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        let found = directory.find(actor);
        if found.is_some_and(|found| found.state == ActorState::Stuck) {
            // Whoever asked may have failed for another reason.
            tell.send(()).ok();
            return;
        }
    }
}
