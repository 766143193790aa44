//! Interrupts: SIGINT and SIGTERM, counted instead of deadly.
//!
//! From the moment that this is made, Ctrl-C does not end the process; whoever holds it decides what each one means.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The interrupts of this process.
pub(crate) struct Interrupts {
    int: Signal,
    term: Signal,
}

impl Interrupts {
    /// Begins to listen. Must be called inside of a runtime.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one. May be dropped without losing one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
