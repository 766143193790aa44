//! A nexus that answers in time: every call to it ends within a limit, as a failure if need be.
//!
//! A store that hangs is as much an outage as one that refuses, but only a refusal can be seen. So this makes one of the
//! other: a read that takes too long was not answered, a write that does may or may not have happened. It does not limit
//! what reads or ends everything ([`Nexus::dump`], [`Nexus::close`]).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::{
    Ascending, BackendError, Counter, Demand, Descending, Dump, Durability, Entry, Hints, Key, Member, Nexus,
    NexusError, Outcome, Record, Score, Set, Space, Span, Standing, Taken, Timestamp, Transaction,
};

/// A nexus with a limit on each call.
pub struct Limited {
    inner: Arc<dyn Nexus>,
    limit: Duration,
}

impl Limited {
    /// Puts a limit on each call to `inner`.
    pub fn new(inner: Arc<dyn Nexus>, limit: Duration) -> Self {
        Self { inner, limit }
    }

    async fn read<T>(&self, call: impl Future<Output = Result<T, NexusError>>) -> Result<T, NexusError> {
        let Ok(answer) = timeout(self.limit, call).await else {
            return Err(BackendError::NoAnswer { limit: self.limit }.into());
        };
        answer
    }

    async fn write<T>(&self, call: impl Future<Output = Result<T, NexusError>>) -> Result<T, NexusError> {
        let Ok(answer) = timeout(self.limit, call).await else {
            return Err(NexusError::no_answer(self.limit));
        };
        answer
    }
}

#[async_trait]
impl Nexus for Limited {
    async fn commit(
        &self,
        space: &Space,
        transactions: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        self.write(self.inner.commit(space, transactions, durability))
            .await
    }

    async fn take(&self, space: &Space, demands: Vec<Demand>) -> Result<Vec<Vec<Taken>>, NexusError> {
        self.write(self.inner.take(space, demands)).await
    }

    async fn fetch(&self, space: &Space, keys: &[Key]) -> Result<Vec<Option<Record>>, NexusError> {
        self.read(self.inner.fetch(space, keys)).await
    }

    async fn range(
        &self,
        space: &Space,
        set: &str,
        page: Ascending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        self.read(self.inner.range(space, set, page)).await
    }

    async fn range_back(
        &self,
        space: &Space,
        set: &str,
        page: Descending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        self.read(self.inner.range_back(space, set, page)).await
    }

    async fn scores(
        &self,
        space: &Space,
        set: &str,
        members: &[Member],
    ) -> Result<Vec<Option<Score>>, NexusError> {
        self.read(self.inner.scores(space, set, members)).await
    }

    async fn size(&self, space: &Space, set: &str) -> Result<u64, NexusError> {
        self.read(self.inner.size(space, set)).await
    }

    async fn counters(&self, space: &Space, names: &[Counter]) -> Result<Vec<i64>, NexusError> {
        self.read(self.inner.counters(space, names)).await
    }

    async fn read_log(&self, space: &Space, log: &str, span: Span) -> Result<Vec<Entry>, NexusError> {
        self.read(self.inner.read_log(space, log, span)).await
    }

    async fn read_thread(
        &self,
        space: &Space,
        log: &str,
        thread: &str,
        span: Span,
    ) -> Result<Vec<Entry>, NexusError> {
        self.read(self.inner.read_thread(space, log, thread, span)).await
    }

    async fn log_len(&self, space: &Space, log: &str) -> Result<u64, NexusError> {
        self.read(self.inner.log_len(space, log)).await
    }

    async fn heads(&self, space: &Space, family: &str, n: usize) -> Result<Vec<(Set, Score)>, NexusError> {
        self.read(self.inner.heads(space, family, n)).await
    }

    fn watch(&self, space: &Space) -> Hints {
        self.inner.watch(space)
    }

    async fn now(&self) -> Result<Timestamp, NexusError> {
        self.read(self.inner.now()).await
    }

    async fn standing(&self) -> Result<Standing, NexusError> {
        self.read(self.inner.standing()).await
    }

    async fn dump(&self, space: &Space) -> Result<Dump, NexusError> {
        self.inner.dump(space).await
    }

    async fn close(&self) -> Result<(), NexusError> {
        self.inner.close().await
    }
}
