//! Transactions: what a caller wants to become true at once, and under which conditions.
//!
//! A transaction is data. All its guards are checked before any of its writes; the writes then happen in the order of
//! the fields (`drops`, `puts`, `moves`, `adds`, `appends`, `trims`). Nothing here knows what a record means.

use crate::{Counter, Key, Log, Member, Score, Set};

/// The identity of a transaction: 64 random bits, chosen by the caller and never used for another transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxId(pub u64);

/// The version of a record: the id of the transaction that wrote it last, so that no version ever comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl From<TxId> for Version {
    fn from(id: TxId) -> Self {
        Self(id.0)
    }
}

/// A stored value and the version it carries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Who wrote it last.
    pub version: Version,
    /// The value, opaque here.
    pub bytes: Vec<u8>,
}

/// Whether a transaction is still welcome when room runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Brings new work in. Answered with [`Outcome::Full`] while room is short.
    Growth,
    /// Brings work to its end or keeps it alive. Passes while there is any room at all, the reserve included.
    Relief,
}

/// A condition on the state before the transaction (for [`Guard::Room`]: after it).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Guard {
    /// The record carries this version; `None`: there is no such record.
    Record(Key, Option<Version>),
    /// The member stands in the set with exactly this score; `None`: it is not in the set.
    Member(Set, Member, Option<Score>),
    /// The set has at most this many members once the moves of this transaction are done.
    Room(Set, u64),
    /// So many entries were ever appended to the log, trimmed ones included; 0 if it does not exist.
    LogLen(Log, u64),
}

/// What a transaction removes. What is not there is no error.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Discard {
    /// The record with this key.
    Record(Key),
    /// The log with all entries *and* its length: a later append begins at position 0 again.
    Log(Log),
}

/// Puts a member at a score (wherever it stood before), or takes it out of the set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Move {
    /// The set, which exists as long as it has members.
    pub set: Set,
    /// Who moves.
    pub member: Member,
    /// Where to; `None`: out of the set.
    pub score: Option<Score>,
}

/// One new entry at the end of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Append {
    /// The log, which begins to exist with its first entry.
    pub log: Log,
    /// A label under which the entries of one story in the log can be read without the others.
    pub thread: Option<String>,
    /// The entry, opaque here.
    pub bytes: Vec<u8>,
}

/// A set of changes that become visible together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// Becomes the version of every record it puts.
    pub id: TxId,
    /// Whether it may use the last room.
    pub class: Class,
    /// Conditions, checked in order; the first that fails is reported.
    pub guards: Vec<Guard>,
    /// Records and logs to remove.
    pub drops: Vec<Discard>,
    /// Records to write. No key may also be in `drops`.
    pub puts: Vec<(Key, Vec<u8>)>,
    /// Set members to move, each (set, member) at most once.
    pub moves: Vec<Move>,
    /// Amounts to add to counters. A counter saturates at plus and minus [`SCORE_MAX`](crate::SCORE_MAX).
    pub adds: Vec<(Counter, i64)>,
    /// Entries to append, in this order.
    pub appends: Vec<Append>,
    /// Logs that lose all entries below a position. The log keeps its length.
    pub trims: Vec<(Log, u64)>,
    /// Published to watchers of the space after the transaction has been applied. A hint may be lost.
    pub hints: Vec<String>,
}

impl Transaction {
    /// A transaction without conditions and changes.
    pub fn new(id: TxId, class: Class) -> Self {
        Self {
            id,
            class,
            guards: Vec::new(),
            drops: Vec::new(),
            puts: Vec::new(),
            moves: Vec::new(),
            adds: Vec::new(),
            appends: Vec::new(),
            trims: Vec::new(),
            hints: Vec::new(),
        }
    }
}

/// What an acknowledged transaction survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// A crash of the process that holds the store. Nothing is synced to the disk.
    Process,
    /// As much as the store can: synced to the disk where that is ours to decide, and on a replica where there is one.
    /// What that is worth, [`Standing::durability`](crate::Standing::durability) says.
    Disk,
}

/// How one transaction of a batch ended. Its neighbours end on their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All guards held and all writes are done.
    Applied,
    /// It was applied before, for a record that it puts carries its id already. Nothing was written now.
    /// This is how a caller that never saw the answer learns it: by sending the same transaction again, as durable as before.
    /// Only a transaction with puts can be recognized, and only while one of the records was not overwritten.
    Already,
    /// A guard did not hold. Nothing was written.
    Refused {
        /// The index of the first guard that failed.
        guard: usize,
        /// What it found instead.
        current: Current,
    },
    /// All guards held, but room has run out for its class. Nothing was written.
    Full,
}

/// What a failed guard found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Current {
    /// The record as it is, whole, so that the caller can decide anew without another fetch.
    Record(Option<Record>),
    /// The score of the member, if it is in the set.
    Member(Option<Score>),
    /// How many members the set would have had.
    Room(u64),
    /// How many entries were ever appended.
    LogLen(u64),
}
