//! A line to one server: the connection that is open now, or the next one.
//!
//! A broken connection is replaced by whoever needs it next; no command is ever sent twice. After a failure the line rests
//! for a moment, longer each time, so that callers of a dead server are refused at once instead of dialling in turns.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::config::ServerAddr;
use super::dial::{Connection, Dialer};
use super::examine::{Found, examine};
use crate::BackendError;

/// How long a line rests after its first failure in a row, and at most.
const REST_MIN: Duration = Duration::from_millis(50);
const REST_MAX: Duration = Duration::from_millis(800);

pub(super) struct Line {
    server: ServerAddr,
    dialer: Dialer,
    /// What the server said when it was last asked. The lock is held to copy.
    found: Arc<RwLock<Option<Found>>>,
    /// Held while dialling, so that callers wait for one attempt instead of making their own.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<Arc<Connection>>,
    failed: Option<Failed>,
}

struct Failed {
    why: Arc<BackendError>,
    rest: Duration,
    until: Instant,
}

impl Line {
    pub(super) fn new(server: ServerAddr, dialer: Dialer, found: Arc<RwLock<Option<Found>>>) -> Self {
        Self {
            server,
            dialer,
            found,
            state: Mutex::default(),
        }
    }

    /// The open connection; dials if there is none. A server that must not be used gives none.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Arc<BackendError>> {
        let mut state = self.state.lock().await;
        if let Some(open) = state.open.as_ref().filter(|open| open.is_alive()) {
            return Ok(Arc::clone(open));
        }
        state.open = None;
        if let Some(failed) = state
            .failed
            .as_ref()
            .filter(|failed| Instant::now() < failed.until)
        {
            return Err(Arc::clone(&failed.why));
        }
        match self.dial().await {
            Ok(connection) => {
                let open = Arc::new(connection);
                *state = State {
                    open: Some(Arc::clone(&open)),
                    failed: None,
                };
                Ok(open)
            }
            Err(why) => {
                let why = Arc::new(why);
                let rest = state
                    .failed
                    .as_ref()
                    .map_or(REST_MIN, |failed| (failed.rest * 2).min(REST_MAX));
                state.failed = Some(Failed {
                    why: Arc::clone(&why),
                    rest,
                    until: Instant::now() + rest,
                });
                Err(why)
            }
        }
    }

    /// Lets go of a connection that did not answer, or on which somebody else answers now.
    pub(super) async fn abandon(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock().await;
        if state
            .open
            .as_ref()
            .is_some_and(|open| Arc::ptr_eq(open, connection))
        {
            state.open = None;
        }
    }

    /// Asks the server again what it is, and lets go of one that must not be used any more.
    pub(super) async fn look(&self) -> Result<Found, Arc<BackendError>> {
        let connection = self.connection().await?;
        match examine(&connection, self.dialer.keys()).await {
            Ok(found) => {
                self.note(found.clone());
                Ok(found)
            }
            Err(why) => {
                self.abandon(&connection).await;
                Err(Arc::new(why))
            }
        }
    }

    async fn dial(&self) -> Result<Connection, BackendError> {
        let connection = self.dialer.connect(&self.server).await?;
        let found = examine(&connection, self.dialer.keys()).await?;
        let run_id = found.run_id.clone();
        self.note(found);
        Ok(connection.with_run_id(run_id))
    }

    fn note(&self, found: Found) {
        *self.found.write().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }
}
