//! What the agents of the pool offer, as it was read a moment ago: a submit warns when nobody could ever run the job, and
//! reading all agents for each of a thousand submits a second would cost more than the submits.
//!
//! A cache and nothing more: a warning may be a second old.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Offer;
use tokio::time::Instant;

/// How old the offers may be.
const FRESH_FOR: Duration = Duration::from_secs(1);

type Read = (Instant, Arc<[Offer]>);

pub(crate) struct Offers {
    /// Not an actor: a handler looks once and goes on.
    newest: Mutex<Option<Read>>,
}

impl Offers {
    pub(crate) const fn new() -> Self {
        Self {
            newest: Mutex::new(None),
        }
    }

    /// The offers, if they were read lately.
    pub(crate) fn fresh(&self, now: Instant) -> Option<Arc<[Offer]>> {
        let newest = self.newest();
        let (read_at, offers) = newest.as_ref()?;
        (now.duration_since(*read_at) < FRESH_FOR).then(|| Arc::clone(offers))
    }

    /// Keeps what was just read.
    pub(crate) fn keep(&self, offers: Arc<[Offer]>, now: Instant) {
        *self.newest() = Some((now, offers));
    }

    /// An agent has said what it is. Only news makes the offers old: parked agents say the same every few seconds.
    pub(crate) fn said(&self, offer: &Offer) {
        let mut newest = self.newest();
        if newest.as_ref().is_some_and(|(_, offers)| !offers.contains(offer)) {
            *newest = None;
        }
    }

    fn newest(&self) -> MutexGuard<'_, Option<Read>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use domain::Resources;

    use super::*;

    fn offer(os: &str) -> Offer {
        Offer {
            labels: [("os".to_owned(), os.to_owned())].into(),
            capacity: Resources::default(),
            free: Resources::default(),
            draining: false,
        }
    }

    #[test]
    fn offers_are_read_again_after_a_while_and_when_an_agent_says_something_new() {
        let (offers, now) = (Offers::new(), Instant::now());
        assert!(offers.fresh(now).is_none());
        offers.keep([offer("linux")].into(), now);
        assert!(offers.fresh(now).is_some() && offers.fresh(now + FRESH_FOR).is_none());
        offers.said(&offer("linux"));
        assert!(offers.fresh(now).is_some());
        offers.said(&offer("macos"));
        assert!(offers.fresh(now).is_none());
    }
}
