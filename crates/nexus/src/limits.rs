//! The named limits of a nexus.
//!
//! Every backend refuses what exceeds them before it touches anything, with [`Invalid`](crate::Invalid): a caller that
//! exceeds them has a bug, for it was to split its work.

/// Characters of the name of a space.
pub const SPACE_BYTES_MAX: usize = 64;
/// Bytes of a key, a member, a hint, a thread or the name of a set, log or counter. None of them may be empty.
pub const NAME_BYTES_MAX: usize = 512;
/// Bytes of a record.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Bytes of an entry of a log.
pub const ENTRY_BYTES_MAX: usize = 256 << 10;
/// Transactions of one call of `commit`.
pub const BATCH_TRANSACTIONS_MAX: usize = 1_024;
/// Guards and writes of one transaction together.
pub const TRANSACTION_STEPS_MAX: usize = 4_096;
/// Bytes of the records and entries of one call of `commit` together.
pub const BATCH_BYTES_MAX: usize = 16 << 20;
/// Demands of one call of `take`.
pub const DEMANDS_MAX: usize = 1_024;
/// Sets of one demand.
pub const DEMAND_SETS_MAX: usize = 1_024;
/// Members that one call of `take` may ask for, over all its demands.
pub const TAKE_MEMBERS_MAX: usize = 4_096;
/// Key prefixes of one demand.
pub const DEMAND_PREFIXES_MAX: usize = 8;
/// Keys of `fetch`, members of `scores` and names of `counters`.
pub const FETCH_MAX: usize = 1_024;
/// Entries of one page of a set, a log or the heads of a family.
pub const PAGE_MAX: usize = 1_024;
/// Bytes after which a page of a log ends early.
pub const READ_BYTES_MAX: usize = 4 << 20;
/// Hints that wait for one watcher; older ones are dropped and counted.
pub const HINTS_PENDING_MAX: usize = 1_024;
