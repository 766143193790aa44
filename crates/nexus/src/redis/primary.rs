//! One primary: the lines to it, what it said of itself, and how much room it has left.
//!
//! Commits that wait for replicas have a line of their own, for `WAIT` blocks the connection that it is sent on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Mutex;

use super::config::{Replication, ServerAddr};
use super::dial::Dialer;
use super::examine::Found;
use super::flight::Flight;
use super::group::Group;
use super::line::Line;
use crate::{BackendError, NexusError};

pub(super) struct Primary {
    server: ServerAddr,
    line: Arc<Line>,
    group: Group,
    replication: Replication,
    found: Arc<RwLock<Option<Found>>>,
    /// Bytes handed over since the server last said how many it has.
    sent: AtomicU64,
    /// Held while asking: what was sent must be taken off `sent` once.
    looking: Mutex<()>,
    /// Whether something happened after which another server may be the primary.
    is_doubtful: AtomicBool,
}

impl Primary {
    /// Dials nothing yet. Needs a runtime.
    pub(super) fn new(server: ServerAddr, dialer: &Dialer, replication: Replication) -> Self {
        let found = Arc::default();
        let line = |dialer: &Dialer| Arc::new(Line::new(server.clone(), dialer.clone(), Arc::clone(&found)));
        Self {
            line: line(dialer),
            group: Group::start(line(dialer), replication.wait_max),
            server: server.clone(),
            replication,
            found: Arc::clone(&found),
            sent: AtomicU64::new(0),
            looking: Mutex::default(),
            is_doubtful: AtomicBool::new(false),
        }
    }

    pub(super) const fn server(&self) -> &ServerAddr {
        &self.server
    }

    /// Carries transactions out and waits for replicas where the arrangement says so: how many lacked them in time.
    pub(super) async fn commit_replicated(&self, flight: Flight) -> Result<(Flight, u32), NexusError> {
        let wanted = self.waits_for();
        let (flight, acknowledged) = self.group.commit(flight, wanted).await?;
        Ok((flight, wanted.saturating_sub(acknowledged)))
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Asks the server what it is.
    pub(super) async fn look(&self) -> Result<Found, Arc<BackendError>> {
        let _turn = self.looking.lock().await;
        // What is sent meanwhile may or may not be in the answer; it counts again, which is the safe side.
        let sent = self.sent.load(Ordering::Relaxed);
        let found = self.line.look().await?;
        self.sent.fetch_sub(sent, Ordering::Relaxed);
        Ok(found)
    }

    /// How many replicas a durable commit waits for now.
    pub(super) fn waits_for(&self) -> u32 {
        let replicas = || self.found(|found| found.replicas.min(1)).unwrap_or(0);
        self.replication.wait_for.unwrap_or_else(replicas)
    }

    /// Whether growth must wait. Counts what was sent since the server was last asked, for a second is long.
    pub(super) fn is_short_of_room(&self) -> bool {
        let room = self.found(Found::room).flatten();
        let sent = self.sent.load(Ordering::Relaxed);
        room.is_some_and(|room| room.used.saturating_add(sent) > room.growth_max)
    }

    pub(super) fn expect_growth(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes that somebody else may be the primary by now.
    pub(super) fn doubt(&self) {
        self.is_doubtful.store(true, Ordering::Relaxed);
    }

    /// Whether that was noted.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful.load(Ordering::Relaxed)
    }

    /// Notes that it has been confirmed as the primary.
    pub(super) fn trust(&self) {
        self.is_doubtful.store(false, Ordering::Relaxed);
    }

    fn found<T>(&self, of: impl FnOnce(&Found) -> T) -> Option<T> {
        self.found
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(of)
    }
}
