//! Refused writes by agents whose lease was lost: counted, and the newest kept in a ring, outside of any job's history.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use domain::JobId;
use serde::Serialize;

/// Refusals that are kept.
const KEPT_MAX: usize = 256;

/// One refused write.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Refusal {
    pub(crate) job: JobId,
    pub(crate) request: &'static str,
    pub(crate) why: String,
}

/// The newest refusals.
pub(crate) struct Refusals {
    /// Not an actor: a handler adds one entry and goes on.
    ring: Mutex<VecDeque<Refusal>>,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        Self {
            ring: Mutex::new(VecDeque::with_capacity(KEPT_MAX)),
        }
    }

    pub(crate) fn add(&self, refusal: Refusal) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == KEPT_MAX {
            ring.pop_front();
        }
        ring.push_back(refusal);
    }

    pub(crate) fn newest(&self) -> Vec<Refusal> {
        self.ring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .rev()
            .cloned()
            .collect()
    }
}
