//! Whether this machine ran us: a thread that sleeps shortly and looks how long that was.
//!
//! On a machine that stands still for seconds, agents lose leases that they would have renewed. That is nobody's fault,
//! so such times are known to the checker.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::history::{Moment, Stretch};
use crate::wait::End;

/// How long it sleeps.
const NAP: Duration = Duration::from_millis(50);
/// A nap that is longer than this is a stall.
const STALL: Duration = Duration::from_millis(700);

/// The stalls that were noticed.
#[derive(Debug, Default)]
pub struct Stalls(Mutex<Vec<Stretch>>);

impl Stalls {
    /// Watches until the end.
    pub fn watch(&self, end: &End) {
        let mut from = Moment::now();
        while !end.pause(NAP) {
            let to = Moment::now();
            if to.since(from) > STALL {
                self.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Stretch { from, to });
            }
            from = to;
        }
    }

    /// What was noticed so far.
    pub fn so_far(&self) -> Vec<Stretch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
