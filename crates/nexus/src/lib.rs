//! The nexus: a small transactional store of records, ordered sets, logs and counters, and the only place where truth lives.
//!
//! It knows no job and no state: callers decide what is to become true and under which [`Guard`]s, and a backend makes it
//! true at once or says which guard did not hold. So the rules are written once, outside, and a backend stays small.
//! Three properties carry everything above: a [`Transaction`] is atomic, a version never comes back, and a repeated
//! transaction is recognized ([`Outcome::Already`]), which turns an unknown outcome into a known one.
//!
//! Backends: [`MemoryNexus`] (tests and models; its [`Store`] is the reference for all), [`SqliteNexus`] (one file, one process)
//! and [`RedisNexus`] (any number of processes). [`Limited`] goes around any of them, and puts a limit on each call.

use async_trait::async_trait;

mod check;
mod clock;
mod demand;
mod error;
mod hints;
mod limited;
pub mod limits;
mod memory;
mod name;
mod read;
mod redis;
mod score;
mod sqlite;
mod standing;
mod transaction;

pub use clock::Clock;
pub use demand::{Demand, Hold, Taken};
pub use error::{BackendError, Invalid, NexusError, OpenError};
pub use hints::{Hint, Hints};
pub use limited::Limited;
pub use memory::{MemoryNexus, Store};
pub use name::{Counter, InvalidSpace, Key, Log, Member, Set, Space};
pub use read::{Ascending, Descending, Dump, Entry, LogDump, Span};
pub use redis::{
    NotAServer, Password, REDIS_PORT, RedisConfig, RedisNexus, RedisServers, RedisTls, Replication,
    ServerAddr, TlsIdentity,
};
pub use score::{SCORE_MAX, Score, ScoreTooLarge, Timestamp};
pub use sqlite::SqliteNexus;
pub use standing::{Room, Standing};
pub use transaction::{
    Append, Class, Current, Discard, Durability, Guard, Move, Outcome, Record, Transaction, TxId, Version,
};

/// A store of truth. All backends behave alike; the conformance suite in `tests/conformance` says how.
///
/// Cancellation: a call whose future is dropped may still have its effect, like one whose answer was lost.
/// Reads see everything that was acknowledged before they were called.
#[async_trait]
pub trait Nexus: Send + Sync + 'static {
    /// Applies transactions in order, each on its own: later ones see what earlier ones wrote, and the refusal of one
    /// does not touch the others. One outcome for each. An error concerns the whole batch; see [`NexusError`].
    async fn commit(
        &self,
        space: &Space,
        transactions: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError>;

    /// Pops the first members of sets and holds them, in one atomic step for all demands together; later demands see what
    /// earlier ones took. One answer for each demand, in the order (score, member, set). Survives a crash of the process.
    async fn take(&self, space: &Space, demands: Vec<Demand>) -> Result<Vec<Vec<Taken>>, NexusError>;

    /// The records with these keys, one answer for each, all of one moment.
    async fn fetch(&self, space: &Space, keys: &[Key]) -> Result<Vec<Option<Record>>, NexusError>;

    /// A page of a set, ascending by (score, member).
    async fn range(
        &self,
        space: &Space,
        set: &str,
        page: Ascending,
    ) -> Result<Vec<(Score, Member)>, NexusError>;

    /// A page of a set, descending by (score, member).
    async fn range_back(
        &self,
        space: &Space,
        set: &str,
        page: Descending,
    ) -> Result<Vec<(Score, Member)>, NexusError>;

    /// Where these members stand in a set, one answer for each.
    async fn scores(
        &self,
        space: &Space,
        set: &str,
        members: &[Member],
    ) -> Result<Vec<Option<Score>>, NexusError>;

    /// How many members a set has. Does not count them.
    async fn size(&self, space: &Space, set: &str) -> Result<u64, NexusError>;

    /// The values of counters, one for each; 0 for one that was never added to.
    async fn counters(&self, space: &Space, names: &[Counter]) -> Result<Vec<i64>, NexusError>;

    /// A stretch of a log, in order.
    async fn read_log(&self, space: &Space, log: &str, span: Span) -> Result<Vec<Entry>, NexusError>;

    /// A stretch of a log, in order, of which only the entries with this thread. Does not read the others.
    async fn read_thread(
        &self,
        space: &Space,
        log: &str,
        thread: &str,
        span: Span,
    ) -> Result<Vec<Entry>, NexusError>;

    /// How many entries were ever appended to a log, which is the position of the next; 0 if it does not exist.
    async fn log_len(&self, space: &Space, log: &str) -> Result<u64, NexusError>;

    /// The sets named `<family>/...` that have members, by (score of their first member, name): what is due first comes first.
    /// The index behind it changes in the same step as the sets do.
    async fn heads(&self, space: &Space, family: &str, n: usize) -> Result<Vec<(Set, Score)>, NexusError>;

    /// The hints of transactions that are applied from now on. Hints may be lost: look yourself from time to time.
    fn watch(&self, space: &Space) -> Hints;

    /// The time of the nexus, which orders what several processes do with it. Never goes back within a process,
    /// except where [`Standing::era`] changes: the clock of another server may be behind.
    async fn now(&self) -> Result<Timestamp, NexusError>;

    /// What the store says of itself now.
    async fn standing(&self) -> Result<Standing, NexusError>;

    /// Everything in a space. For checks of the whole store and for tests only: it reads all of it into memory.
    async fn dump(&self, space: &Space) -> Result<Dump, NexusError>;

    /// Finishes what was accepted and lets go of the store. Every later call answers [`NexusError::Closed`].
    async fn close(&self) -> Result<(), NexusError>;
}
