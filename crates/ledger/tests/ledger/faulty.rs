//! A nexus that misbehaves on request: replies get lost, batches are torn, somebody else is faster.
//!
//! A crash of a coordinator is an outage that begins after some number of calls: what was committed before stays, and
//! nothing comes after it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use nexus::{
    Ascending, BackendError, Demand, Descending, Dump, Durability, Entry, Hints, MemoryNexus, Nexus,
    NexusError, Outcome, Record, Score, Space, Span, Standing, Taken, Timestamp, Transaction,
};

type Interruption = Pin<Box<dyn Future<Output = ()> + Send>>;

/// No limit.
const ENDLESS: usize = usize::MAX;

pub(crate) struct FaultyNexus {
    pub(crate) inner: Arc<MemoryNexus>,
    /// What happens just before the next commits, one for each.
    interruptions: Mutex<VecDeque<Interruption>>,
    lost_replies: AtomicUsize,
    calls_left: AtomicUsize,
    torn_after: AtomicUsize,
    commits: AtomicUsize,
    /// How far the clock is behind.
    behind: AtomicU64,
}

impl FaultyNexus {
    pub(crate) fn new(inner: Arc<MemoryNexus>) -> Self {
        Self {
            inner,
            interruptions: Mutex::default(),
            lost_replies: AtomicUsize::new(0),
            calls_left: AtomicUsize::new(ENDLESS),
            torn_after: AtomicUsize::new(ENDLESS),
            commits: AtomicUsize::new(0),
            behind: AtomicU64::new(0),
        }
    }

    /// Lets something happen between the next reads and their commit.
    pub(crate) fn before_next_commit(&self, interruption: impl Future<Output = ()> + Send + 'static) {
        self.interruptions
            .lock()
            .unwrap()
            .push_back(Box::pin(interruption));
    }

    /// The clock shows so many milliseconds less from now on.
    pub(crate) fn step_back(&self, millis: u64) {
        self.behind.fetch_add(millis, Ordering::SeqCst);
    }

    /// The next commits are done, but nobody hears of it.
    pub(crate) fn lose_replies(&self, n: usize) {
        self.lost_replies.store(n, Ordering::SeqCst);
    }

    /// After so many calls there is no answer until [`Self::heal`].
    pub(crate) fn crash_after(&self, calls: usize) {
        self.calls_left.store(calls, Ordering::SeqCst);
    }

    /// Of the next batch only so many transactions are done, then there is no answer until [`Self::heal`].
    pub(crate) fn tear_after(&self, transactions: usize) {
        self.torn_after.store(transactions, Ordering::SeqCst);
    }

    pub(crate) fn heal(&self) {
        self.crash_after(ENDLESS);
        self.torn_after.store(ENDLESS, Ordering::SeqCst);
        self.lost_replies.store(0, Ordering::SeqCst);
    }

    /// Calls of commit so far.
    pub(crate) fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    fn call(&self) -> Result<&MemoryNexus, NexusError> {
        let spend = |left: usize| match left {
            0 => None,
            ENDLESS => Some(ENDLESS),
            left => Some(left - 1),
        };
        let spent = self
            .calls_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend);
        match spent {
            Ok(_) => Ok(&self.inner),
            Err(_) => Err(BackendError::SwitchedOff.into()),
        }
    }
}

#[async_trait]
impl Nexus for FaultyNexus {
    async fn commit(
        &self,
        space: &Space,
        mut transactions: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let interruption = self.interruptions.lock().unwrap().pop_front();
        if let Some(interruption) = interruption {
            interruption.await;
        }
        let nexus = self.call()?;
        let torn_after = self.torn_after.swap(ENDLESS, Ordering::SeqCst);
        if torn_after != ENDLESS {
            transactions.truncate(torn_after);
            nexus.commit(space, transactions, durability).await?;
            self.crash_after(0);
            return Err(BackendError::SwitchedOff.into());
        }
        let outcomes = nexus.commit(space, transactions, durability).await?;
        let lose = |n: usize| n.checked_sub(1);
        match self
            .lost_replies
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose)
        {
            Ok(_) => Err(NexusError::OutcomeUnknown(Arc::new(BackendError::WriterGone))),
            Err(_) => Ok(outcomes),
        }
    }

    async fn take(&self, space: &Space, demands: Vec<Demand>) -> Result<Vec<Vec<Taken>>, NexusError> {
        self.call()?.take(space, demands).await
    }

    async fn fetch(&self, space: &Space, keys: &[String]) -> Result<Vec<Option<Record>>, NexusError> {
        self.call()?.fetch(space, keys).await
    }

    async fn range(
        &self,
        space: &Space,
        set: &str,
        page: Ascending,
    ) -> Result<Vec<(Score, String)>, NexusError> {
        self.call()?.range(space, set, page).await
    }

    async fn range_back(
        &self,
        space: &Space,
        set: &str,
        page: Descending,
    ) -> Result<Vec<(Score, String)>, NexusError> {
        self.call()?.range_back(space, set, page).await
    }

    async fn scores(
        &self,
        space: &Space,
        set: &str,
        members: &[String],
    ) -> Result<Vec<Option<Score>>, NexusError> {
        self.call()?.scores(space, set, members).await
    }

    async fn size(&self, space: &Space, set: &str) -> Result<u64, NexusError> {
        self.call()?.size(space, set).await
    }

    async fn counters(&self, space: &Space, names: &[String]) -> Result<Vec<i64>, NexusError> {
        self.call()?.counters(space, names).await
    }

    async fn read_log(&self, space: &Space, log: &str, span: Span) -> Result<Vec<Entry>, NexusError> {
        self.call()?.read_log(space, log, span).await
    }

    async fn read_thread(
        &self,
        space: &Space,
        log: &str,
        thread: &str,
        span: Span,
    ) -> Result<Vec<Entry>, NexusError> {
        self.call()?.read_thread(space, log, thread, span).await
    }

    async fn log_len(&self, space: &Space, log: &str) -> Result<u64, NexusError> {
        self.call()?.log_len(space, log).await
    }

    async fn heads(&self, space: &Space, family: &str, n: usize) -> Result<Vec<(String, Score)>, NexusError> {
        self.call()?.heads(space, family, n).await
    }

    fn watch(&self, space: &Space) -> Hints {
        self.inner.watch(space)
    }

    async fn now(&self) -> Result<Timestamp, NexusError> {
        let now = self.call()?.now().await?;
        Ok(Timestamp(
            now.0.saturating_sub(self.behind.load(Ordering::SeqCst)),
        ))
    }

    async fn standing(&self) -> Result<Standing, NexusError> {
        self.call()?.standing().await
    }

    async fn dump(&self, space: &Space) -> Result<Dump, NexusError> {
        self.call()?.dump(space).await
    }

    async fn close(&self) -> Result<(), NexusError> {
        self.inner.close().await
    }
}
