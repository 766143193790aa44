//! A nexus that makes its caller panic, once, at a call that the test names: how each actor is made to crash.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use nexus::{
    Ascending, Clock, Counter, Demand, Descending, Dump, Durability, Entry, Hints, Key, Member, MemoryNexus,
    Nexus, NexusError, Outcome, Record, Score, Set, Space, Span, Taken, Timestamp, Transaction,
};

pub(crate) struct FragileNexus {
    inner: MemoryNexus,
    armed: Mutex<Option<&'static str>>,
}

impl FragileNexus {
    pub(crate) fn new() -> Self {
        Self {
            inner: MemoryNexus::new(Clock::system()),
            armed: Mutex::new(None),
        }
    }

    /// The next call whose text begins like this panics: the method, and the first name in it.
    pub(crate) fn panic_at(&self, call: &'static str) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
    }

    fn call(&self, method: &str, name: &str) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        if armed.is_some_and(|call| format!("{method} {name}").starts_with(call)) {
            let call = armed.take();
            drop(armed);
            panic!("the test asked for a panic at {call:?}");
        }
    }
}

#[async_trait]
impl Nexus for FragileNexus {
    async fn commit(
        &self,
        space: &Space,
        transactions: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        let key = transactions.first().and_then(|tx| tx.puts.first());
        self.call("commit", key.map_or("", |(key, _)| key));
        self.inner.commit(space, transactions, durability).await
    }

    async fn take(&self, space: &Space, demands: Vec<Demand>) -> Result<Vec<Vec<Taken>>, NexusError> {
        let taken = self.inner.take(space, demands).await;
        // After it has happened: what was taken is held and belongs to nobody.
        self.call("take", "");
        taken
    }

    async fn fetch(&self, space: &Space, keys: &[Key]) -> Result<Vec<Option<Record>>, NexusError> {
        self.call("fetch", keys.first().map_or("", String::as_str));
        self.inner.fetch(space, keys).await
    }

    async fn range(
        &self,
        space: &Space,
        set: &str,
        page: Ascending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        self.call("range", set);
        self.inner.range(space, set, page).await
    }

    async fn range_back(
        &self,
        space: &Space,
        set: &str,
        page: Descending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        self.inner.range_back(space, set, page).await
    }

    async fn scores(
        &self,
        space: &Space,
        set: &str,
        members: &[Member],
    ) -> Result<Vec<Option<Score>>, NexusError> {
        self.inner.scores(space, set, members).await
    }

    async fn size(&self, space: &Space, set: &str) -> Result<u64, NexusError> {
        self.inner.size(space, set).await
    }

    async fn counters(&self, space: &Space, names: &[Counter]) -> Result<Vec<i64>, NexusError> {
        self.inner.counters(space, names).await
    }

    async fn read_log(&self, space: &Space, log: &str, span: Span) -> Result<Vec<Entry>, NexusError> {
        self.inner.read_log(space, log, span).await
    }

    async fn read_thread(
        &self,
        space: &Space,
        log: &str,
        thread: &str,
        span: Span,
    ) -> Result<Vec<Entry>, NexusError> {
        self.inner.read_thread(space, log, thread, span).await
    }

    async fn log_len(&self, space: &Space, log: &str) -> Result<u64, NexusError> {
        self.inner.log_len(space, log).await
    }

    async fn heads(&self, space: &Space, family: &str, n: usize) -> Result<Vec<(Set, Score)>, NexusError> {
        self.call("heads", family);
        self.inner.heads(space, family, n).await
    }

    fn watch(&self, space: &Space) -> Hints {
        self.inner.watch(space)
    }

    async fn now(&self) -> Result<Timestamp, NexusError> {
        self.inner.now().await
    }

    async fn dump(&self, space: &Space) -> Result<Dump, NexusError> {
        self.inner.dump(space).await
    }

    async fn close(&self) -> Result<(), NexusError> {
        self.inner.close().await
    }
}
