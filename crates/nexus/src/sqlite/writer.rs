//! The writer: the one thread that changes the database, in groups. Whatever waits when it is free becomes one SQLite
//! transaction, so the cost of a sync to the disk is shared by all who asked meanwhile.
//!
//! Nobody is answered before the commit. A failure is answered as what it is: undone (nothing was written), no room (growth
//! is turned away and relief tried again, with the reserve), or open (a commit that failed midway): then the writer stops.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc;

use super::group::{Done, Group, Request, Work};
use super::lock::Lock;
use super::names::Names;
use super::room::Room;
use super::{apply, take};
use crate::hints::HintBoard;
use crate::{BackendError, Class, Durability, NexusError, OpenError, Outcome, Transaction};

/// Requests that wait for the writer; callers beyond wait for a place.
const QUEUE_MAX: usize = 256;
/// Pages in the write-ahead log after which it is copied into the database (8 MiB, half of the reserve).
const CHECKPOINT_PAGES: i64 = 1_024;
/// The same while room is short.
const SHORT_CHECKPOINT_PAGES: i64 = 64;
/// How often, in transactions, the length of the write-ahead log is looked at.
const CHECKPOINT_LOOK_EVERY: usize = 64;

/// Who may write while room is short.
#[derive(Clone, Copy)]
enum Admitted {
    All,
    Relief,
    Nobody,
}

/// What can make room on a full disk, in the order in which it is tried.
#[derive(Clone, Copy)]
enum Means {
    /// A write-ahead log that is copied begins anew in the room it has.
    Checkpoint,
    Reserve,
}

/// How a group failed.
enum Failure {
    /// Rolled back: there was no room.
    NoRoom,
    /// Rolled back.
    Undone(rusqlite::Error),
    /// The commit, the rollback or a sync failed: what is on the disk is unknown.
    Open(rusqlite::Error),
}

pub(super) struct Writer {
    connection: Connection,
    names: Names,
    room: Room,
    hints: Arc<HintBoard>,
    /// Whether commits are synced now, once that was chosen.
    is_synced: Option<bool>,
    is_halted: bool,
    transactions_since_look: usize,
    /// Let go of last, after the connection was closed.
    _lock: Lock,
}

/// Starts the writer. It ends when all senders are gone and everything they sent is done.
pub(super) fn start(
    lock: Lock,
    connection: Connection,
    room: Room,
    hints: Arc<HintBoard>,
) -> Result<(mpsc::Sender<Request>, JoinHandle<()>), OpenError> {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let mut writer = Writer::new(lock, connection, room, hints);
    // Creates the reserve, if there is room for it.
    writer.room_is_short();
    let thread = std::thread::Builder::new()
        .name("nexus-writer".to_owned())
        .spawn(move || writer.run(receiver));
    let thread = thread.map_err(|source| OpenError::Thread { source })?;
    Ok((sender, thread))
}

impl Writer {
    fn new(lock: Lock, connection: Connection, room: Room, hints: Arc<HintBoard>) -> Self {
        Self {
            connection,
            names: Names::default(),
            room,
            hints,
            is_synced: None,
            is_halted: false,
            transactions_since_look: 0,
            _lock: lock,
        }
    }

    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut group = Group::new(first);
            while !group.is_complete()
                && let Ok(next) = requests.try_recv()
            {
                group.push(next);
            }
            self.write(group);
        }
        self.end();
    }

    fn write(&mut self, group: Group) {
        let transactions = group.n_transactions;
        self.room.expect_growth(group.bytes);
        match self.commit_group(&group) {
            Ok(done) => group.answer(done, &self.hints),
            Err(error) => group.fail(&error),
        }
        self.names.keep_small();
        self.checkpoint_if_due(transactions);
    }

    fn commit_group(&mut self, group: &Group) -> Result<Vec<Done>, NexusError> {
        let mut admitted = if self.room_is_short() {
            Admitted::Relief
        } else {
            Admitted::All
        };
        let mut means = [Means::Checkpoint, Means::Reserve].into_iter();
        loop {
            if self.is_halted {
                return Err(NexusError::Halted);
            }
            match self.attempt(group, admitted) {
                Ok(done) => return Ok(done),
                Err(Failure::NoRoom) => {
                    self.room.ran_out(Instant::now());
                    admitted = match admitted {
                        Admitted::All => Admitted::Relief,
                        Admitted::Relief => match means.find(|means| self.make_room(*means)) {
                            Some(_) => Admitted::Relief,
                            None => Admitted::Nobody,
                        },
                        Admitted::Nobody => return Err(BackendError::NoRoom.into()),
                    };
                }
                Err(Failure::Undone(error)) => return Err(BackendError::Sqlite(error).into()),
                Err(Failure::Open(error)) => {
                    self.halt(&error);
                    return Err(NexusError::OutcomeUnknown(Arc::new(BackendError::Sqlite(error))));
                }
            }
        }
    }

    /// Makes room for relief. False if that means is spent.
    fn make_room(&mut self, means: Means) -> bool {
        match means {
            Means::Checkpoint => self.checkpoint(),
            Means::Reserve => {
                let is_released = self.room.release_reserve();
                // The reserve is larger than the log, so now the log can be copied and begins anew.
                self.checkpoint();
                is_released
            }
        }
    }

    /// Writes a group as one SQLite transaction.
    fn attempt(&mut self, group: &Group, admitted: Admitted) -> Result<Vec<Done>, Failure> {
        self.sync_commits(group.durability == Durability::Disk)
            .map_err(Failure::Undone)?;
        let written = self.execute("BEGIN IMMEDIATE").and_then(|()| {
            let done = group.requests.iter().map(|request| self.serve(request, admitted));
            let done = done.collect::<rusqlite::Result<Vec<Done>>>()?;
            self.names.flush(&self.connection)?;
            Ok(done)
        });
        let done = written.map_err(|error| self.undo(error))?;
        match self.execute("COMMIT") {
            Ok(()) => Ok(done),
            Err(error) => match error.sqlite_error_code() {
                // Neither has written the frame that makes a commit.
                Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => Err(self.undo(error)),
                _ => Err(Failure::Open(error)),
            },
        }
    }

    fn serve(&mut self, request: &Request, admitted: Admitted) -> rusqlite::Result<Done> {
        let mut space = self.names.space(&self.connection, &request.space)?;
        match &request.work {
            Work::Commit { transactions, .. } => {
                let commit = |tx: &Transaction| match (admitted, tx.class) {
                    (Admitted::All, _) | (Admitted::Relief, Class::Relief) => apply::apply(&mut space, tx),
                    (Admitted::Relief, Class::Growth) | (Admitted::Nobody, _) => {
                        Ok(apply::objection(&mut space, tx)?.unwrap_or(Outcome::Full))
                    }
                };
                Ok(Done::Outcomes(
                    transactions.iter().map(commit).collect::<rusqlite::Result<_>>()?,
                ))
            }
            Work::Take { demands, .. } => match admitted {
                Admitted::All | Admitted::Relief => {
                    let taken = demands.iter().map(|demand| take::serve(&mut space, demand));
                    Ok(Done::Taken(taken.collect::<rusqlite::Result<_>>()?))
                }
                Admitted::Nobody => Ok(Done::NoRoom),
            },
        }
    }

    /// Rolls back after an error. SQLite may have done so already.
    fn undo(&mut self, error: rusqlite::Error) -> Failure {
        self.names.forget();
        let rolled_back = match self.connection.is_autocommit() {
            true => Ok(()),
            false => self.execute("ROLLBACK"),
        };
        match (rolled_back, error.sqlite_error_code()) {
            (Err(error), _) => Failure::Open(error),
            (Ok(()), Some(ErrorCode::DiskFull)) => Failure::NoRoom,
            (Ok(()), _) => Failure::Undone(error),
        }
    }

    /// Chooses whether commits are synced to the disk. Both keep the database consistent after a loss of power.
    fn sync_commits(&mut self, is_synced: bool) -> rusqlite::Result<()> {
        if self.is_synced != Some(is_synced) {
            let level = if is_synced { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.is_synced = Some(is_synced);
        }
        Ok(())
    }

    fn room_is_short(&mut self) -> bool {
        let connection = &self.connection;
        self.room
            .is_short(Instant::now(), || reusable_bytes(connection).unwrap_or(0))
    }

    /// Copies the write-ahead log into the database once it is long, or soon if room is short: then the log begins anew and
    /// takes no more room. Done after the answers, so that nobody waits for it.
    fn checkpoint_if_due(&mut self, transactions: usize) {
        self.transactions_since_look += transactions;
        let (look_every, pages_max) = match self.room_is_short() {
            true => (1, SHORT_CHECKPOINT_PAGES),
            false => (CHECKPOINT_LOOK_EVERY, CHECKPOINT_PAGES),
        };
        if !self.is_halted && self.transactions_since_look >= look_every {
            self.transactions_since_look = 0;
            if self
                .wal_checkpoint("NOOP")
                .is_ok_and(|(pages, copied)| pages - copied >= pages_max)
            {
                self.checkpoint();
            }
        }
    }

    /// Copies the write-ahead log into the database. True if all of it could be copied.
    fn checkpoint(&mut self) -> bool {
        match self.wal_checkpoint("PASSIVE") {
            Ok((pages, copied)) => pages == copied,
            Err(error) => {
                tracing::warn!(%error, "could not copy the write-ahead log into the database");
                // A failed sync may have lost commits that were not synced yet, and a later sync would not tell.
                if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
                    self.halt(&error);
                }
                false
            }
        }
    }

    /// Answers (pages in the log, pages of them that are copied).
    fn wal_checkpoint(&self, mode: &str) -> rusqlite::Result<(i64, i64)> {
        self.connection
            .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
                Ok((row.get(1)?, row.get(2)?))
            })
    }

    fn halt(&mut self, error: &rusqlite::Error) {
        self.is_halted = true;
        tracing::error!(%error, "a write to the disk failed; the nexus writes no more until it is opened again");
    }

    /// Leaves one file behind: the database, with everything in it.
    fn end(self) {
        if !self.is_halted
            && let Err(error) = self.wal_checkpoint("TRUNCATE")
        {
            tracing::warn!(%error, "could not copy the write-ahead log into the database at the end");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "could not close the database");
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// The bytes of the free pages within the database.
fn reusable_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pages: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(pages.saturating_mul(page_bytes).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::sqlite::{connect, schema};
    use crate::{Space, TxId};

    fn request(durability: Durability) -> Request {
        let transactions = vec![Transaction::new(TxId(1), Class::Growth)];
        let work = Work::Commit {
            transactions,
            durability,
            answer: oneshot::channel().0,
        };
        Request {
            space: Space::new("pool/default").unwrap(),
            work,
        }
    }

    #[test]
    fn a_group_is_synced_if_one_of_its_requests_wants_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nexus.db");
        let lock = Lock::acquire(&path).unwrap();
        let mut connection = connect(&path).unwrap();
        schema::prepare(&mut connection, &path).unwrap();
        let mut writer = Writer::new(lock, connection, Room::new(&path), Arc::new(HintBoard::new()));
        for (durabilities, synchronous) in [
            (&[Durability::Process][..], 1),
            (&[Durability::Process, Durability::Disk, Durability::Process], 2),
            (&[Durability::Process, Durability::Process], 1),
        ] {
            let mut group = Group::new(request(durabilities[0]));
            durabilities[1..]
                .iter()
                .for_each(|durability| group.push(request(*durability)));
            assert!(writer.commit_group(&group).is_ok());
            let level: i64 = writer
                .connection
                .pragma_query_value(None, "synchronous", |row| row.get(0))
                .unwrap();
            assert_eq!(level, synchronous, "{durabilities:?}");
        }
    }
}
