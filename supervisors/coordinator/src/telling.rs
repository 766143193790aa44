//! A nexus that also tells the mesh: the hints of each commit that goes through it go to the other coordinators.
//!
//! Only what this process itself has committed is told. What others have committed they tell themselves, so no hint goes
//! round. The nexus's own way for hints may be slow or broken; then this one wakes those who wait elsewhere.

use std::sync::Arc;

use async_trait::async_trait;
use mesh::Link;
use nexus::{
    Ascending, Counter, Demand, Descending, Dump, Durability, Entry, Hints, Key, Member, Nexus, NexusError,
    Outcome, Record, Score, Set, Space, Span, Standing, Taken, Timestamp, Transaction,
};

/// A nexus whose hints also go over the mesh.
pub(crate) struct Telling {
    inner: Arc<dyn Nexus>,
    link: Link,
}

impl Telling {
    pub(crate) fn new(inner: Arc<dyn Nexus>, link: Link) -> Self {
        Self { inner, link }
    }
}

#[async_trait]
impl Nexus for Telling {
    async fn commit(
        &self,
        space: &Space,
        transactions: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        let hints: Vec<Vec<String>> = transactions.iter().map(|it| it.hints.clone()).collect();
        let outcomes = self.inner.commit(space, transactions, durability).await?;
        for (outcome, hints) in outcomes.iter().zip(hints) {
            match outcome {
                Outcome::Applied => hints.iter().for_each(|hint| self.link.hint(hint)),
                Outcome::Already | Outcome::Refused { .. } | Outcome::Full => {}
            }
        }
        Ok(outcomes)
    }

    async fn take(&self, space: &Space, demands: Vec<Demand>) -> Result<Vec<Vec<Taken>>, NexusError> {
        self.inner.take(space, demands).await
    }

    async fn fetch(&self, space: &Space, keys: &[Key]) -> Result<Vec<Option<Record>>, NexusError> {
        self.inner.fetch(space, keys).await
    }

    async fn range(
        &self,
        space: &Space,
        set: &str,
        page: Ascending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
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
        self.inner.heads(space, family, n).await
    }

    fn watch(&self, space: &Space) -> Hints {
        self.inner.watch(space)
    }

    async fn now(&self) -> Result<Timestamp, NexusError> {
        self.inner.now().await
    }

    async fn standing(&self) -> Result<Standing, NexusError> {
        self.inner.standing().await
    }

    async fn dump(&self, space: &Space) -> Result<Dump, NexusError> {
        self.inner.dump(space).await
    }

    async fn close(&self) -> Result<(), NexusError> {
        self.inner.close().await
    }
}
