//! Readers: a few connections of their own, lent to the blocking threads of the runtime.
//!
//! In WAL mode a reader sees the moment at which it began, and never waits for the writer. Reads beyond the number of
//! connections wait their turn. What is read is the business of `snapshot`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::Semaphore;

use super::keep_statements;
use crate::{BackendError, NexusError};

/// Reads that run at once; more wait their turn.
const READERS: u32 = 4;
/// Page cache of one reader, in KiB (negative, as SQLite wants it).
const CACHE_KIB: i64 = -8192;

#[derive(Debug)]
pub(super) struct Readers {
    turns: Arc<Semaphore>,
    lending: Arc<Lending>,
}

#[derive(Debug)]
struct Lending {
    path: PathBuf,
    /// Connections that nobody uses now. The mutex is held to push or pop one.
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Opens the first connection, the others when they are needed. The database must exist and be in WAL mode.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let lending = Lending {
            path: path.to_owned(),
            idle: Mutex::new(vec![connect(path)?]),
        };
        Ok(Self {
            turns: Arc::new(Semaphore::new(READERS as usize)),
            lending: Arc::new(lending),
        })
    }

    /// Runs a read on a blocking thread, within one SQLite transaction. If the caller goes away the read still ends.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, NexusError> {
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else {
            return Err(NexusError::Closed);
        };
        let lending = Arc::clone(&self.lending);
        let reading = tokio::task::spawn_blocking(move || {
            let answer = lending.read(query);
            drop(turn);
            answer
        });
        match reading.await {
            Ok(answer) => answer.map_err(|error| NexusError::from(BackendError::Sqlite(error))),
            Err(failure) if failure.is_panic() => std::panic::resume_unwind(failure.into_panic()),
            Err(_) => Err(NexusError::Closed),
        }
    }

    /// Waits for the reads that run, refuses those to come, and closes the connections.
    pub(super) async fn close(&self) {
        let all = self.turns.acquire_many(READERS).await;
        self.turns.close();
        drop(all);
        self.disconnect();
    }

    /// Closes the connections that nobody uses now.
    pub(super) fn disconnect(&self) {
        self.lending
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Lending {
    /// A connection on which a read failed or panicked is not used again.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let popped = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = popped.map_or_else(|| connect(&self.path), Ok)?;
        let answer = read_once(&mut connection, query)?;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        Ok(answer)
    }
}

fn read_once<T>(
    connection: &mut Connection,
    query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let answer = query(&tx)?;
    tx.finish()?;
    Ok(answer)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    keep_statements(&connection)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    Ok(connection)
}
