//! The nexus in memory: a [`Store`] for each space behind one lock, for tests and for models. It keeps nothing.
//!
//! It answers without ever waiting, so it goes with paused time; and it can be switched off (an outage) or declared full.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::hints::HintBoard;
use crate::{
    Ascending, BackendError, Class, Clock, Counter, Demand, Descending, Dump, Durability, Entry, Hints, Key,
    Member, Nexus, NexusError, Outcome, Record, Score, Set, Space, Span, Standing, Taken, Timestamp,
    Transaction, check,
};

mod journal;
mod ordered_set;
pub(crate) mod store;

pub use store::Store;

/// A nexus for one process and its lifetime.
#[derive(Debug)]
pub struct MemoryNexus {
    clock: Clock,
    hints: HintBoard,
    is_available: AtomicBool,
    is_full: AtomicBool,
    is_closed: AtomicBool,
    /// Held for one call, never across an await: the store is shared by all callers and has no thread of its own.
    spaces: Mutex<BTreeMap<Space, Store>>,
}

impl MemoryNexus {
    /// An empty nexus with this clock.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            hints: HintBoard::new(),
            is_available: AtomicBool::new(true),
            is_full: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            spaces: Mutex::default(),
        }
    }

    /// Begins or ends an outage: while it lasts every call but `watch` answers [`NexusError::Unavailable`].
    pub fn set_available(&self, is_available: bool) {
        self.is_available.store(is_available, Ordering::SeqCst);
    }

    /// Begins or ends a shortage of room: while it lasts growth is answered with [`Outcome::Full`].
    pub fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    /// A copy of the state of one space.
    pub fn snapshot(&self, space: &Space) -> Store {
        self.lock().get(space).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Space, Store>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, BTreeMap<Space, Store>>, NexusError> {
        match (
            self.is_closed.load(Ordering::SeqCst),
            self.is_available.load(Ordering::SeqCst),
        ) {
            (true, _) => Err(NexusError::Closed),
            (false, false) => Err(BackendError::SwitchedOff.into()),
            (false, true) => Ok(self.lock()),
        }
    }

    fn read<T: Default>(&self, space: &Space, read: impl FnOnce(&Store) -> T) -> Result<T, NexusError> {
        Ok(self.open()?.get(space).map(read).unwrap_or_default())
    }
}

#[async_trait]
impl Nexus for MemoryNexus {
    async fn commit(
        &self,
        space: &Space,
        transactions: Vec<Transaction>,
        _durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        check::batch(&transactions)?;
        let mut spaces = self.open()?;
        let store = spaces.entry(space.clone()).or_default();
        let is_full = self.is_full.load(Ordering::SeqCst);
        let commit = |tx: &Transaction| match (is_full, tx.class) {
            (true, Class::Growth) => store.objection(tx).unwrap_or(Outcome::Full),
            (true, Class::Relief) | (false, _) => store.commit(tx),
        };
        let outcomes: Vec<Outcome> = transactions.iter().map(commit).collect();
        drop(spaces);
        for (tx, outcome) in transactions.iter().zip(&outcomes) {
            if *outcome == Outcome::Applied {
                self.hints.publish(space, &tx.hints);
            }
        }
        Ok(outcomes)
    }

    async fn take(&self, space: &Space, demands: Vec<Demand>) -> Result<Vec<Vec<Taken>>, NexusError> {
        check::demands(&demands)?;
        Ok(self.open()?.entry(space.clone()).or_default().take(&demands))
    }

    async fn fetch(&self, space: &Space, keys: &[Key]) -> Result<Vec<Option<Record>>, NexusError> {
        check::wanted("key", keys)?;
        let spaces = self.open()?;
        Ok(spaces
            .get(space)
            .map_or_else(|| vec![None; keys.len()], |store| store.fetch(keys)))
    }

    async fn range(
        &self,
        space: &Space,
        set: &str,
        page: Ascending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        check::page("set", set, page.n)?;
        self.read(space, |store| store.range(set, &page))
    }

    async fn range_back(
        &self,
        space: &Space,
        set: &str,
        page: Descending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        check::page("set", set, page.n)?;
        self.read(space, |store| store.range_back(set, &page))
    }

    async fn scores(
        &self,
        space: &Space,
        set: &str,
        members: &[Member],
    ) -> Result<Vec<Option<Score>>, NexusError> {
        check::name("set", set)?;
        check::wanted("member", members)?;
        let spaces = self.open()?;
        let store = spaces.get(space);
        Ok(members.iter().map(|member| store?.score(set, member)).collect())
    }

    async fn size(&self, space: &Space, set: &str) -> Result<u64, NexusError> {
        check::name("set", set)?;
        self.read(space, |store| store.size(set))
    }

    async fn counters(&self, space: &Space, names: &[Counter]) -> Result<Vec<i64>, NexusError> {
        check::wanted("counter", names)?;
        let spaces = self.open()?;
        let store = spaces.get(space);
        Ok(names
            .iter()
            .map(|name| store.map_or(0, |store| store.counter(name)))
            .collect())
    }

    async fn read_log(&self, space: &Space, log: &str, span: Span) -> Result<Vec<Entry>, NexusError> {
        check::page("log", log, span.n)?;
        self.read(space, |store| store.read_log(log, span))
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
        self.read(space, |store| store.read_thread(log, thread, span))
    }

    async fn log_len(&self, space: &Space, log: &str) -> Result<u64, NexusError> {
        check::name("log", log)?;
        self.read(space, |store| store.log_len(log))
    }

    async fn heads(&self, space: &Space, family: &str, n: usize) -> Result<Vec<(Set, Score)>, NexusError> {
        check::family(family, n)?;
        self.read(space, |store| store.heads(family, n))
    }

    fn watch(&self, space: &Space) -> Hints {
        self.hints.watch(space)
    }

    async fn now(&self) -> Result<Timestamp, NexusError> {
        drop(self.open()?);
        Ok(self.clock.now())
    }

    async fn standing(&self) -> Result<Standing, NexusError> {
        drop(self.open()?);
        Ok(Standing {
            description: "memory".to_owned(),
            durability: "nothing: it ends with its process".to_owned(),
            era: "memory".to_owned(),
            short_replications: 0,
            room: None,
            warnings: Vec::new(),
            unfit: None,
        })
    }

    async fn dump(&self, space: &Space) -> Result<Dump, NexusError> {
        self.read(space, Store::dump)
    }

    async fn close(&self) -> Result<(), NexusError> {
        self.is_closed.store(true, Ordering::SeqCst);
        self.hints.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TxId;

    fn submit(id: u64, class: Class) -> Transaction {
        let mut tx = Transaction::new(TxId(id), class);
        tx.puts = vec![(format!("job/{id}"), vec![1])];
        tx
    }

    #[tokio::test]
    async fn an_outage_writes_nothing_and_ends() {
        let nexus = MemoryNexus::new(Clock::system());
        let space = Space::new("pool/default").unwrap();
        nexus.set_available(false);
        let refused = nexus
            .commit(&space, vec![submit(1, Class::Relief)], Durability::Disk)
            .await;
        assert!(matches!(refused, Err(NexusError::Unavailable(_))));
        assert!(matches!(nexus.now().await, Err(NexusError::Unavailable(_))));
        nexus.set_available(true);
        assert_eq!(nexus.snapshot(&space), Store::default());
    }

    #[tokio::test]
    async fn while_room_is_short_growth_is_full_unless_it_was_applied_before() {
        let nexus = MemoryNexus::new(Clock::system());
        let space = Space::new("pool/default").unwrap();
        let commit = async |txs| nexus.commit(&space, txs, Durability::Disk).await.unwrap();
        commit(vec![submit(1, Class::Growth)]).await;
        nexus.set_full(true);
        let batch = vec![
            submit(1, Class::Growth),
            submit(2, Class::Growth),
            submit(3, Class::Relief),
        ];
        assert_eq!(
            commit(batch).await,
            [Outcome::Already, Outcome::Full, Outcome::Applied]
        );
        nexus.set_full(false);
        assert_eq!(commit(vec![submit(2, Class::Growth)]).await, [Outcome::Applied]);
    }
}
