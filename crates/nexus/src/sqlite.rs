//! The nexus in a file: SQLite in WAL mode, one thread that writes, a few connections that read.
//!
//! One process at a time owns the file. Writes are grouped: see `writer`. Reads are snapshots and begin after everything
//! acknowledged before them. The database is never opened but through SQLite; see `lock` for why.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use self::group::{Answer, Request, Work};
use self::lock::Lock;
use self::reader::Readers;
use self::room::Room;
use self::snapshot::Snapshot;
use crate::hints::HintBoard;
use crate::{
    Ascending, BackendError, Clock, Counter, Demand, Descending, Dump, Durability, Entry, Hints, Key, Member,
    Nexus, NexusError, OpenError, Outcome, Record, Score, Set, Space, Span, Standing, Taken, Timestamp,
    Transaction, check,
};

mod apply;
mod dump;
mod group;
mod lock;
mod logs;
mod names;
mod reader;
mod room;
mod schema;
mod sets;
mod snapshot;
mod take;
mod writer;

/// Prepared statements kept by each connection; more than there are.
const STATEMENTS_MAX: usize = 64;
/// Page cache of the writer, in KiB (negative, as SQLite wants it).
const CACHE_KIB: i64 = -65_536;
/// How long a lock of a foreign process (a shell, a backup) is waited for.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// The write-ahead log is cut to this size when it begins anew.
const WAL_BYTES_KEPT: i64 = 64 << 20;

/// A nexus in one file, owned by this process. Dropping it finishes what was accepted, as [`Nexus::close`] does.
#[derive(Debug)]
pub struct SqliteNexus {
    clock: Clock,
    hints: Arc<HintBoard>,
    readers: Readers,
    /// Taken out when the nexus is closed. The mutex is held to clone the sender.
    writer: Mutex<Option<Handle>>,
}

#[derive(Debug)]
struct Handle {
    sender: mpsc::Sender<Request>,
    thread: JoinHandle<()>,
}

impl SqliteNexus {
    /// Opens the file or creates it, with mode 0600. Beside it appear `.lock`, `.reserve` and, while it is open, SQLite's
    /// `-wal` and `-shm`. Blocks, and recovers what a crash left.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, OpenError> {
        let path = real_path(path).map_err(|source| OpenError::Prepare {
            path: path.to_owned(),
            source,
        })?;
        let lock = Lock::acquire(&path)?;
        let mut connection = connect(&path)?;
        schema::prepare(&mut connection, &path)?;
        sync_what_was_recovered(&connection)?;
        let readers = Readers::open(&path)?;
        let hints = Arc::new(HintBoard::new());
        let (sender, thread) = writer::start(lock, connection, Room::new(&path), Arc::clone(&hints))?;
        Ok(Self {
            clock,
            hints,
            readers,
            writer: Mutex::new(Some(Handle { sender, thread })),
        })
    }

    async fn write<T>(&self, space: &Space, work: impl FnOnce(Answer<T>) -> Work) -> Result<T, NexusError> {
        let sender = {
            let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer
                .as_ref()
                .map(|handle| handle.sender.clone())
                .ok_or(NexusError::Closed)?
        };
        let (answer, answered) = oneshot::channel();
        let request = Request {
            space: space.clone(),
            work: work(answer),
        };
        sender
            .send(request)
            .await
            .map_err(|_| NexusError::from(BackendError::WriterGone))?;
        match answered.await {
            Ok(answer) => answer,
            Err(_) => Err(NexusError::OutcomeUnknown(Arc::new(BackendError::WriterGone))),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        space: &Space,
        read: impl FnOnce(&Snapshot<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, NexusError> {
        let space = space.clone();
        self.readers
            .read(move |connection| read(&Snapshot::new(connection, &space)?))
            .await
    }
}

/// The path without links, so that one file has one lock. (And never text that SQLite would take for a URI.)
fn real_path(path: &Path) -> io::Result<PathBuf> {
    if path.exists() {
        return path.canonicalize();
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    Ok(directory.canonicalize()?.join(name))
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let is_new = !path.exists();
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    if is_new {
        // By path, before anything is written: a descriptor of our own would take SQLite's locks away when closed.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(|source| {
            OpenError::Prepare {
                path: path.to_owned(),
                source,
            }
        })?;
    }
    keep_statements(&connection)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    Ok(connection)
}

/// Keeps prepared statements as they are. Without this guarantee SQLite prepares one with a bound `LIMIT` anew whenever a
/// value is bound, in the hope of a better plan: a short range took three times as long.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// A process that was killed may have written commits that were not synced yet. They are there now, so a repeated
/// transaction would be told that it was applied: that must then survive a loss of power.
fn sync_what_was_recovered(connection: &Connection) -> rusqlite::Result<()> {
    match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        // The log was synced before there was no room to copy it.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(()),
        other => other,
    }
}

#[async_trait]
impl Nexus for SqliteNexus {
    async fn commit(
        &self,
        space: &Space,
        transactions: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        check::batch(&transactions)?;
        self.write(space, |answer| Work::Commit {
            transactions,
            durability,
            answer,
        })
        .await
    }

    async fn take(&self, space: &Space, demands: Vec<Demand>) -> Result<Vec<Vec<Taken>>, NexusError> {
        check::demands(&demands)?;
        self.write(space, |answer| Work::Take { demands, answer }).await
    }

    async fn fetch(&self, space: &Space, keys: &[Key]) -> Result<Vec<Option<Record>>, NexusError> {
        check::wanted("key", keys)?;
        let keys = keys.to_vec();
        self.read(space, move |snapshot| snapshot.fetch(&keys)).await
    }

    async fn range(
        &self,
        space: &Space,
        set: &str,
        page: Ascending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        check::page("set", set, page.n)?;
        let set = set.to_owned();
        self.read(space, move |snapshot| snapshot.range(&set, &page))
            .await
    }

    async fn range_back(
        &self,
        space: &Space,
        set: &str,
        page: Descending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        check::page("set", set, page.n)?;
        let set = set.to_owned();
        self.read(space, move |snapshot| snapshot.range_back(&set, &page))
            .await
    }

    async fn scores(
        &self,
        space: &Space,
        set: &str,
        members: &[Member],
    ) -> Result<Vec<Option<Score>>, NexusError> {
        check::name("set", set)?;
        check::wanted("member", members)?;
        let (set, members) = (set.to_owned(), members.to_vec());
        self.read(space, move |snapshot| snapshot.scores(&set, &members))
            .await
    }

    async fn size(&self, space: &Space, set: &str) -> Result<u64, NexusError> {
        check::name("set", set)?;
        let set = set.to_owned();
        self.read(space, move |snapshot| snapshot.size(&set)).await
    }

    async fn counters(&self, space: &Space, names: &[Counter]) -> Result<Vec<i64>, NexusError> {
        check::wanted("counter", names)?;
        let names = names.to_vec();
        self.read(space, move |snapshot| snapshot.counters(&names)).await
    }

    async fn read_log(&self, space: &Space, log: &str, span: Span) -> Result<Vec<Entry>, NexusError> {
        check::page("log", log, span.n)?;
        let log = log.to_owned();
        self.read(space, move |snapshot| snapshot.read_log(&log, span))
            .await
    }

    async fn read_thread(
        &self,
        space: &Space,
        log: &str,
        thread: &str,
        span: Span,
    ) -> Result<Vec<Entry>, NexusError> {
        check::page("log", log, span.n)?;
        check::name("thread", thread)?;
        let (log, thread) = (log.to_owned(), thread.to_owned());
        self.read(space, move |snapshot| snapshot.read_thread(&log, &thread, span))
            .await
    }

    async fn log_len(&self, space: &Space, log: &str) -> Result<u64, NexusError> {
        check::name("log", log)?;
        let log = log.to_owned();
        self.read(space, move |snapshot| snapshot.log_len(&log)).await
    }

    async fn heads(&self, space: &Space, family: &str, n: usize) -> Result<Vec<(Set, Score)>, NexusError> {
        check::family(family, n)?;
        let family = family.to_owned();
        self.read(space, move |snapshot| snapshot.heads(&family, n)).await
    }

    fn watch(&self, space: &Space) -> Hints {
        self.hints.watch(space)
    }

    async fn now(&self) -> Result<Timestamp, NexusError> {
        match self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
        {
            true => Ok(self.clock.now()),
            false => Err(NexusError::Closed),
        }
    }

    async fn standing(&self) -> Result<Standing, NexusError> {
        self.now().await?;
        Ok(Standing {
            description: "sqlite".to_owned(),
            durability: "loss of power".to_owned(),
            // What was acknowledged as durable is in the file, whoever opens it and how often.
            era: "sqlite".to_owned(),
            short_replications: 0,
            room: None,
            warnings: Vec::new(),
            unfit: None,
        })
    }

    async fn dump(&self, space: &Space) -> Result<Dump, NexusError> {
        self.read(space, dump::dump).await
    }

    async fn close(&self) -> Result<(), NexusError> {
        let handle = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.readers.close().await;
        self.hints.close();
        let Some(Handle { sender, thread }) = handle else {
            return Ok(());
        };
        drop(sender);
        match tokio::task::spawn_blocking(move || thread.join()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NexusError::OutcomeUnknown(Arc::new(BackendError::WriterGone))),
        }
    }
}

impl Drop for SqliteNexus {
    fn drop(&mut self) {
        let handle = self
            .writer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(Handle { sender, thread }) = handle else {
            return;
        };
        // The writer's connection must be the last, to leave nothing but the database behind.
        self.readers.disconnect();
        drop(sender);
        if thread.join().is_err() {
            tracing::error!("the writer of the nexus had panicked");
        }
    }
}
