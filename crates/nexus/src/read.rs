//! Reads: the pages in which sets and logs are read, and the canonical picture of a whole space.
//!
//! A page is bounded by a number, and each has a place to go on from, so nobody needs to read a set or a log at once.
//! Only the dump reads everything; it is for checks and tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Counter, Key, Log, Member, Record, Score, Set};

/// A page of a set in the order (score, member).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ascending {
    /// Begins behind this place; `None`: with the first member. The place need not be taken.
    pub after: Option<(Score, Member)>,
    /// Ends with the last member of this score; `None`: with the last member.
    pub up_to: Option<Score>,
    /// How many members at most, up to [`PAGE_MAX`](crate::limits::PAGE_MAX).
    pub n: usize,
}

/// A page of a set in the reverse of the order (score, member): newest first, where scores are times.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Descending {
    /// Begins below this place; `None`: with the last member. The place need not be taken.
    pub before: Option<(Score, Member)>,
    /// Ends with the first member of this score; `None`: with the first member.
    pub down_to: Option<Score>,
    /// How many members at most, up to [`PAGE_MAX`](crate::limits::PAGE_MAX).
    pub n: usize,
}

/// A stretch of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The lowest position wanted. Positions that were trimmed away are passed over.
    pub from: u64,
    /// How many entries at most, up to [`PAGE_MAX`](crate::limits::PAGE_MAX). Fewer come back when their bytes exceed
    /// [`READ_BYTES_MAX`](crate::limits::READ_BYTES_MAX), but at least one if there is one: only an empty page is the end.
    pub n: usize,
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Where it stands. The first ever is 0; no position is used twice.
    pub position: u64,
    /// The label it was appended with.
    pub thread: Option<String>,
    /// What was appended.
    pub bytes: Vec<u8>,
}

/// Everything in a space, in canonical order: equal spaces have equal dumps, whatever the backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dump {
    /// All records.
    pub records: BTreeMap<Key, Record>,
    /// All sets that have members.
    pub sets: BTreeMap<Set, BTreeSet<(Score, Member)>>,
    /// All logs that exist, empty ones included.
    pub logs: BTreeMap<Log, LogDump>,
    /// All counters but those at 0.
    pub counters: BTreeMap<Counter, i64>,
}

/// One log of a dump.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogDump {
    /// How many entries were ever appended.
    pub len: u64,
    /// Those that were not trimmed.
    pub entries: Vec<Entry>,
}
