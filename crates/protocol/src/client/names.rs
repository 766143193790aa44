//! Looking up the names of coordinators, again and again: coordinators come and go behind one name.
//!
//! It is done by whichever requests are under way, beside their waiting, and by one of them at a time. A request waits
//! for it only when no coordinator is known yet. A name that cannot be looked up keeps the addresses that it had.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

use super::Client;
use super::error::ClientError;
use super::target::{Base, Peer};

/// How often names are looked up while all is well.
const LOOKUP_EVERY: Duration = Duration::from_secs(30);
/// How often they are while no coordinator is good.
const LOOKUP_AGAIN: Duration = Duration::from_secs(1);

/// The names among the URLs, and how they were found last.
pub(super) struct Names {
    named: Vec<Arc<Base>>,
    /// When they were looked up last, held by whoever does it.
    pub(super) last: Mutex<Option<Instant>>,
    /// What was said of the last name that could not be looked up. Changes with every look-up.
    complaint: watch::Sender<Option<String>>,
}

impl Names {
    pub(super) fn of(bases: &[Arc<Base>]) -> Self {
        let named = bases.iter().filter(|base| base.fixed().is_none());
        Self {
            named: named.cloned().collect(),
            last: Mutex::new(None),
            complaint: watch::Sender::new(None),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

impl Client {
    /// The coordinator to ask first, when one is known.
    ///
    /// # Errors
    /// The names were looked up in vain.
    pub(super) async fn first(&self) -> Result<Arc<Peer>, ClientError> {
        let mut looked_up = self.shared.names.complaint.subscribe();
        loop {
            if let Some(peer) = self.roster().first(Instant::now()) {
                return Ok(peer);
            }
            // The sender is a part of this client.
            looked_up.changed().await.ok();
            let complaint = looked_up.borrow_and_update().clone();
            if let Some(why) = complaint
                && self.roster().len() == 0
            {
                return Err(ClientError::Unreachable { url: self.url(), why });
            }
        }
    }

    /// Looks names up whenever it is time to, for as long as it is polled.
    pub(super) async fn keep_looking_up(&self) -> Infallible {
        let names = &self.shared.names;
        if names.is_empty() {
            return future::pending().await;
        }
        loop {
            let mut last = names.last.lock().await;
            let now = Instant::now();
            let due = self.look_up_due(*last, now);
            if now < due {
                // It may become hopeless meanwhile.
                sleep_until(due.min(now + LOOKUP_AGAIN)).await;
                continue;
            }
            self.look_up(&mut last).await;
        }
    }

    /// Looks names up if it is time to and nobody else does. A request in vain waits for that: where addresses that are
    /// over refuse at once, no request lasts as long as a look-up beside it, and the new ones would never be found.
    pub(super) async fn look_up_if_due(&self) {
        let names = &self.shared.names;
        if names.is_empty() || self.roster().len() == 0 {
            return;
        }
        let Ok(mut last) = names.last.try_lock() else {
            return;
        };
        let now = Instant::now();
        if now >= self.look_up_due(*last, now) {
            self.look_up(&mut last).await;
        }
    }

    fn look_up_due(&self, last: Option<Instant>, now: Instant) -> Instant {
        let roster = self.roster();
        let pause = match (roster.len(), roster.is_hopeless(now)) {
            (0, _) => Duration::ZERO,
            (_, true) => LOOKUP_AGAIN,
            (_, false) => LOOKUP_EVERY,
        };
        last.map_or(now, |last| last + pause)
    }

    async fn look_up(&self, last: &mut Option<Instant>) {
        let names = &self.shared.names;
        let found = join_all(names.named.iter().map(|base| base.look_up())).await;
        let mut complaint = None;
        for (base, found) in names.named.iter().zip(found) {
            match found {
                Ok(addresses) => self.roster().resolved(base, &addresses),
                Err(why) => complaint = Some(why),
            }
        }
        *last = Some(Instant::now());
        names.complaint.send_replace(complaint);
    }
}
