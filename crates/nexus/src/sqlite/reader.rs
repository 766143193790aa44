//! Readers: a few connections of their own, lent to the blocking threads of the runtime.
//!
//! In WAL mode a reader sees the moment at which it began, and never waits for the writer. Reads beyond the number of
//! connections wait their turn. What is read is the business of `snapshot`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
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
        let connection = popped.map_or_else(|| connect(&self.path), Ok)?;
        let answer = read_once(&connection, query)?;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        Ok(answer)
    }
}

/// The statements around the query are prepared once, like those in it: parsing them would cost as much as a small read.
fn read_once<T>(
    connection: &Connection,
    query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let answer = query(connection)?;
    connection.prepare_cached("COMMIT")?.execute([])?;
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

#[cfg(test)]
mod scratch {
    use super::*;
    #[test]
    fn scratch_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        drop(crate::SqliteNexus::open(&path, crate::Clock::system()).unwrap());
        let w = Connection::open(&path).unwrap();
        w.execute_batch("INSERT INTO spaces (name) VALUES ('a'); INSERT INTO sets VALUES (1,1,'s/a','s',100,0);").unwrap();
        for i in 0..100 { w.execute("INSERT INTO members VALUES (1, ?1, ?2)", rusqlite::params![format!("m{i}"), i]).unwrap();
          w.execute("INSERT INTO records VALUES (1, ?1, 1, zeroblob(250))", [format!("k{i}")]).unwrap(); }
        let mk = |q: bool| { let c = connect(&path).unwrap(); c.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, q).unwrap(); c };
        let (mut old, new) = (mk(false), mk(true));
        let fetch = |c: &Connection| { let mut s = c.prepare_cached("SELECT version, bytes FROM records WHERE space = 1 AND key = ?1")?; s.query_row(["k5"], |r| r.get::<_, Vec<u8>>(1)) };
        let range = |c: &Connection| { let mut s = c.prepare_cached("SELECT score, member FROM members WHERE set_id = ?1 AND (score, member) > (?2, ?3) ORDER BY score, member LIMIT ?4")?; let v: Vec<String> = s.query_map(rusqlite::params![1, 5, "", 3], |r| r.get(1))?.collect::<Result<_, _>>()?; Ok::<_, rusqlite::Error>(v) };
        for _ in 0..3 {
            let t = std::time::Instant::now();
            for _ in 0..20000 { let tx = old.transaction_with_behavior(rusqlite::TransactionBehavior::Deferred).unwrap(); fetch(&tx).unwrap(); tx.finish().unwrap(); }
            let a = t.elapsed() / 20000; let t = std::time::Instant::now();
            for _ in 0..20000 { read_once(&new, |c| fetch(c)).unwrap(); }
            let b = t.elapsed() / 20000; let t = std::time::Instant::now();
            for _ in 0..20000 { let tx = old.transaction_with_behavior(rusqlite::TransactionBehavior::Deferred).unwrap(); range(&tx).unwrap(); tx.finish().unwrap(); }
            let c = t.elapsed() / 20000; let t = std::time::Instant::now();
            for _ in 0..20000 { read_once(&new, |c| range(c)).unwrap(); }
            println!("fetch old {a:?} new {b:?}; range old {c:?} new {:?}", t.elapsed() / 20000);
        }
    }
}
