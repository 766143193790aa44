//! What this coordinator does for its peers in the mesh: it says what is observed here, hears hints, carries out drills.
//!
//! All of it is advice or asked for by an admin elsewhere. Nothing here decides about a job.

use std::sync::Arc;

use mesh::{Answering, Service};

use crate::coordinator::Coordinator;
use crate::fail_points;
use crate::http;

/// A coordinator, as its peers see it.
pub struct Peers(Arc<Coordinator>);

impl Peers {
    /// Lets peers ask this coordinator.
    pub const fn new(coordinator: Arc<Coordinator>) -> Self {
        Self(coordinator)
    }
}

impl Service for Peers {
    fn observe(&self, question: Vec<u8>) -> Answering {
        let coordinator = Arc::clone(&self.0);
        Box::pin(async move { http::observed_for_peer(&coordinator, &question) })
    }

    fn hint(&self, hint: &str) {
        if !fail_points::is_on(fail_points::LOSE_HINTS) {
            self.0.signals.hint(hint);
        }
    }

    fn anything_may_have_changed(&self) {
        if !fail_points::is_on(fail_points::LOSE_HINTS) {
            self.0.signals.anything_may_have_changed();
        }
    }

    #[cfg(feature = "faults")]
    fn drill(&self, what: Vec<u8>) -> Answering {
        let coordinator = Arc::clone(&self.0);
        Box::pin(async move { http::drilled_for_peer(&coordinator, &what).await })
    }

    #[cfg(not(feature = "faults"))]
    fn drill(&self, _what: Vec<u8>) -> Answering {
        Box::pin(async { Err("its build has no drills: they need the feature `faults`".to_owned()) })
    }
}
