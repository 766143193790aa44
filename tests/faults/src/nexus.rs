//! A nexus whose answers can be lost and whose calls can come twice, for the coordinator's actors.
//!
//! A decorator: the store beneath it is the one that users run. Which call is hit is decided by the faults of the
//! supervision tree, which know what actor is calling; calls of HTTP handlers, which belong to no actor, pass. Hints can
//! be lost and doubled for all who commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use async_trait::async_trait;
use nexus::{
    Ascending, BackendError, Class, Counter, Demand, Descending, Dump, Durability, Entry, Hints, Key, Member,
    Nexus, NexusError, Outcome, Record, Score, Set, Space, Span, Standing, Taken, Timestamp, Transaction,
    TxId,
};
use supervision::faults::{What, on_call};

/// Which calls of an actor count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Commits.
    Commits,
    /// Everything that only reads.
    Reads,
}

/// What becomes of hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HintFault {
    /// They arrive.
    None,
    /// None does.
    Lost,
    /// Each arrives twice.
    Doubled,
}

/// See the module.
pub struct FaultyNexus {
    inner: Arc<dyn Nexus>,
    struck: Calls,
    hints: AtomicU8,
    n_hints_struck: AtomicUsize,
}

impl FaultyNexus {
    /// One over `inner`, of which these calls can be hit.
    pub fn new(inner: Arc<dyn Nexus>, struck: Calls) -> Self {
        Self {
            inner,
            struck,
            hints: AtomicU8::new(HintFault::None as u8),
            n_hints_struck: AtomicUsize::new(0),
        }
    }

    /// Treats all hints like this from now on.
    pub fn strike_hints(&self, fault: HintFault) {
        self.hints.store(fault as u8, Ordering::Relaxed);
    }

    /// How many commits had hints that were lost or doubled.
    pub fn n_hints_struck(&self) -> usize {
        self.n_hints_struck.load(Ordering::Relaxed)
    }

    fn fault(&self, calls: Calls) -> Option<What> {
        (calls == self.struck).then(on_call).flatten()
    }

    /// Takes away or repeats the hints of transactions as was asked for.
    fn strike(&self, transactions: &mut Vec<Transaction>) {
        let fault = self.hints.load(Ordering::Relaxed);
        let hints: Vec<String> = transactions.iter().flat_map(|tx| tx.hints.clone()).collect();
        if fault == HintFault::None as u8 || hints.is_empty() {
            return;
        }
        self.n_hints_struck.fetch_add(1, Ordering::Relaxed);
        if fault == HintFault::Lost as u8 {
            transactions.iter_mut().for_each(|tx| tx.hints.clear());
        } else {
            let mut again = Transaction::new(TxId(getrandom::u64().expect("random numbers")), Class::Relief);
            again.hints = hints;
            transactions.push(again);
        }
    }

    async fn commit_faultily(
        &self,
        space: &Space,
        transactions: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        match self.fault(Calls::Commits) {
            None => self.inner.commit(space, transactions, durability).await,
            Some(What::LoseReply) => {
                self.inner.commit(space, transactions, durability).await?;
                Err(NexusError::OutcomeUnknown(Arc::new(BackendError::SwitchedOff)))
            }
            Some(What::Duplicate) => {
                let again = transactions.clone();
                let outcomes = self.inner.commit(space, transactions, durability).await?;
                self.inner.commit(space, again, durability).await?;
                Ok(outcomes)
            }
            Some(fault) => {
                before_call(fault).await?;
                self.inner.commit(space, transactions, durability).await
            }
        }
    }
}

/// Makes a reading call, and strikes it if it is its turn.
macro_rules! read {
    ($self:ident, $call:expr) => {
        match $self.fault(Calls::Reads) {
            None => $call.await,
            Some(What::LoseReply) => {
                $call.await?;
                Err(NexusError::Unavailable(Arc::new(BackendError::SwitchedOff)))
            }
            Some(What::Duplicate) => {
                $call.await?;
                $call.await
            }
            Some(fault) => {
                before_call(fault).await?;
                $call.await
            }
        }
    };
}

/// What else may befall a call, before it is made.
async fn before_call(fault: What) -> Result<(), NexusError> {
    match fault {
        What::Delay(delay) => tokio::time::sleep(delay).await,
        What::Hang => std::future::pending().await,
        What::Error => return Err(NexusError::Unavailable(Arc::new(BackendError::SwitchedOff))),
        What::LoseReply | What::Duplicate | What::Panic | What::Block(_) => {}
    }
    Ok(())
}

#[async_trait]
impl Nexus for FaultyNexus {
    async fn commit(
        &self,
        space: &Space,
        mut transactions: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        let n = transactions.len();
        self.strike(&mut transactions);
        let mut outcomes = self.commit_faultily(space, transactions, durability).await?;
        outcomes.truncate(n);
        Ok(outcomes)
    }

    async fn take(&self, space: &Space, demands: Vec<Demand>) -> Result<Vec<Vec<Taken>>, NexusError> {
        self.inner.take(space, demands).await
    }

    async fn fetch(&self, space: &Space, keys: &[Key]) -> Result<Vec<Option<Record>>, NexusError> {
        read!(self, self.inner.fetch(space, keys))
    }

    async fn range(
        &self,
        space: &Space,
        set: &str,
        page: Ascending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        read!(self, self.inner.range(space, set, page.clone()))
    }

    async fn range_back(
        &self,
        space: &Space,
        set: &str,
        page: Descending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        read!(self, self.inner.range_back(space, set, page.clone()))
    }

    async fn scores(
        &self,
        space: &Space,
        set: &str,
        members: &[Member],
    ) -> Result<Vec<Option<Score>>, NexusError> {
        read!(self, self.inner.scores(space, set, members))
    }

    async fn size(&self, space: &Space, set: &str) -> Result<u64, NexusError> {
        read!(self, self.inner.size(space, set))
    }

    async fn counters(&self, space: &Space, names: &[Counter]) -> Result<Vec<i64>, NexusError> {
        read!(self, self.inner.counters(space, names))
    }

    async fn read_log(&self, space: &Space, log: &str, span: Span) -> Result<Vec<Entry>, NexusError> {
        read!(self, self.inner.read_log(space, log, span))
    }

    async fn read_thread(
        &self,
        space: &Space,
        log: &str,
        thread: &str,
        span: Span,
    ) -> Result<Vec<Entry>, NexusError> {
        read!(self, self.inner.read_thread(space, log, thread, span))
    }

    async fn log_len(&self, space: &Space, log: &str) -> Result<u64, NexusError> {
        read!(self, self.inner.log_len(space, log))
    }

    async fn heads(&self, space: &Space, family: &str, n: usize) -> Result<Vec<(Set, Score)>, NexusError> {
        read!(self, self.inner.heads(space, family, n))
    }

    fn watch(&self, space: &Space) -> Hints {
        self.inner.watch(space)
    }

    async fn now(&self) -> Result<Timestamp, NexusError> {
        read!(self, self.inner.now())
    }

    async fn standing(&self) -> Result<Standing, NexusError> {
        read!(self, self.inner.standing())
    }

    async fn dump(&self, space: &Space) -> Result<Dump, NexusError> {
        self.inner.dump(space).await
    }

    async fn close(&self) -> Result<(), NexusError> {
        self.inner.close().await
    }
}
