//! The ledger of one pool: reads, decides by the domain's rules, commits, and starts over when somebody was faster.
//!
//! Every public method is one request or one duty. All of them may be repeated after a lost answer, and all may be
//! cancelled at any await: what was committed stays committed, nothing is half done.

use std::sync::Arc;
use std::time::Duration;

use domain::entity::FOLLOWUPS;
use domain::job::apply;
use domain::{Job, JobEvent, JobId, Move, PoolName, Step, Timestamp};
use nexus::{
    Class, Durability, Limited, Nexus, NexusError, Outcome, Record, Space, Transaction, TxId, Version,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::error::{ApplyError, LedgerError};
use crate::fail_points;
use crate::keys;
use crate::record::{AttemptsRecord, Stored};
use crate::transaction::{StoredJob, changed, keep_attempt};

/// How often a decision is made anew because the job changed under it.
pub(crate) const TRIES_MAX: usize = 16;

/// A source of transaction ids: 64 random bits each. The composition root provides it.
pub type TxIds = Arc<dyn Fn() -> TxId + Send + Sync>;

/// The ledger of one pool. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) nexus: Arc<dyn Nexus>,
    pub(crate) space: Space,
    pool: PoolName,
    tx_ids: TxIds,
    followups_written: Arc<watch::Sender<u64>>,
}

/// What an event did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The job changed to this.
    Moved(Box<Job>),
    /// The event was applied before; the job is this.
    Same(Box<Job>),
}

impl Applied {
    /// The job after the event.
    pub fn job(self) -> Job {
        match self {
            Self::Moved(job) | Self::Same(job) => *job,
        }
    }
}

impl Ledger {
    /// The ledger of `pool` over a nexus.
    pub fn new(nexus: Arc<dyn Nexus>, pool: PoolName, tx_ids: TxIds) -> Self {
        let space =
            Space::new(format!("pool/{pool}")).expect("a pool's name is made of a space's characters");
        Self {
            nexus,
            space,
            pool,
            tx_ids,
            followups_written: Arc::default(),
        }
    }

    /// The same ledger with a limit on each call to the nexus, so that one that hangs is one that does not answer.
    #[must_use]
    pub fn with_call_limit(self, limit: Duration) -> Self {
        Self {
            nexus: Arc::new(Limited::new(self.nexus, limit)),
            ..self
        }
    }

    /// The pool.
    pub const fn pool(&self) -> &PoolName {
        &self.pool
    }

    /// The nexus's clock. Two coordinators may have read it in another order than they act in, and a new primary's clock
    /// may be behind the old one's.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn now(&self) -> Result<Timestamp, LedgerError> {
        let now = Timestamp(self.nexus.now().await?.0);
        Ok(fail_points::clock(now))
    }

    /// Reads from the nexus and writes to it, to see whether it does both.
    ///
    /// # Errors
    /// It does not.
    pub async fn probe(&self) -> Result<(), LedgerError> {
        self.fetch_one(keys::BEAT).await?;
        let mut tx = Transaction::new(self.tx_id(), Class::Relief);
        tx.puts.push((keys::PROBE.to_owned(), Vec::new()));
        self.commit_one(tx, Durability::Process).await?;
        Ok(())
    }

    /// Changes whenever this ledger, or a clone of it, has written what must follow: its process does it first, and all
    /// others only if it does not.
    pub fn followups_written(&self) -> watch::Receiver<u64> {
        self.followups_written.subscribe()
    }

    /// What changes, from now on. Hints may be lost.
    pub fn watch(&self) -> nexus::Hints {
        self.nexus.watch(&self.space)
    }

    /// Everything in the pool's space, for [`crate::fsck`] and tests.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn dump(&self) -> Result<nexus::Dump, LedgerError> {
        Ok(self.nexus.dump(&self.space).await?)
    }

    /// Applies one event to one job.
    ///
    /// # Errors
    /// [`ApplyError`] tells an unknown job, a refusal of the rules and a failure of the store apart.
    pub async fn apply(&self, id: &JobId, event: JobEvent) -> Result<Applied, ApplyError> {
        for _ in 0..TRIES_MAX {
            let before = self
                .load(id)
                .await?
                .ok_or_else(|| ApplyError::Unknown(id.clone()))?;
            let now = self.now().await?;
            match apply(before.job(), event.clone(), now)? {
                Step::Same => return Ok(Applied::Same(Box::new(before.into_job()))),
                Step::Moved(step) => {
                    let next = step.next.clone();
                    let tx = self.change(&before, *step, now).await?;
                    if self.commit_one(tx, Durability::Disk).await? {
                        return Ok(Applied::Moved(Box::new(next)));
                    }
                }
            }
        }
        Err(LedgerError::Contended { job: id.clone() }.into())
    }

    /// The transaction of a step, the record of ended attempts included.
    pub(crate) async fn change(
        &self,
        before: &StoredJob,
        mut step: Move<Job>,
        now: Timestamp,
    ) -> Result<Transaction, LedgerError> {
        let ended = step.ended.take();
        let id = step.next.id.clone();
        let mut tx = changed(self.tx_id(), before, step, now, None);
        if let Some(attempt) = ended {
            keep_attempt(&mut tx, &id, attempt, &self.attempts(&id).await?);
        }
        Ok(tx)
    }

    /// Reads a job.
    ///
    /// # Errors
    /// The nexus does not answer, or the record cannot be understood.
    pub async fn load(&self, id: &JobId) -> Result<Option<StoredJob>, LedgerError> {
        let mut found = self.load_all(&[id.ulid().to_owned()]).await?;
        found.pop().flatten().transpose()
    }

    /// Reads jobs by their ULIDs. A record that cannot be understood is an error in its own place, so it delays
    /// nobody else.
    pub(crate) async fn load_all(
        &self,
        ulids: &[String],
    ) -> Result<Vec<Option<Result<StoredJob, LedgerError>>>, NexusError> {
        let mut all = Vec::with_capacity(ulids.len());
        for part in ulids.chunks(nexus::limits::FETCH_MAX) {
            let wanted: Vec<String> = part.iter().map(|ulid| keys::job(ulid)).collect();
            let records = self.nexus.fetch(&self.space, &wanted).await?;
            all.extend(
                part.iter()
                    .zip(records)
                    .map(|(ulid, record)| record.map(|found| read(ulid, &found))),
            );
        }
        Ok(all)
    }

    pub(crate) async fn attempts(&self, id: &JobId) -> Result<Stored<AttemptsRecord>, LedgerError> {
        let found = self.stored(&keys::attempts(id)).await?;
        Ok(found.map(|(_, attempts)| attempts).unwrap_or_default())
    }

    /// Reads a record, to be written anew.
    pub(crate) async fn stored<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<(Version, Stored<T>)>, LedgerError> {
        let Some(found) = self.fetch_one(key).await? else {
            return Ok(None);
        };
        Ok(Some((found.version, Stored::decode(key, found.bytes)?)))
    }

    pub(crate) async fn fetch_one(&self, key: &str) -> Result<Option<Record>, NexusError> {
        Ok(self
            .nexus
            .fetch(&self.space, &[key.to_owned()])
            .await?
            .pop()
            .flatten())
    }

    pub(crate) fn tx_id(&self) -> TxId {
        (self.tx_ids)()
    }

    /// Commits one transaction. Returns false when a guard did not hold.
    pub(crate) async fn commit_one(
        &self,
        tx: Transaction,
        durability: Durability,
    ) -> Result<bool, LedgerError> {
        let outcome = self.commit(vec![tx], durability).await?.pop();
        match outcome {
            Some(Outcome::Applied | Outcome::Already) => Ok(true),
            Some(Outcome::Full) => Err(LedgerError::Full),
            Some(Outcome::Refused { .. }) | None => Ok(false),
        }
    }

    /// Commits transactions that are independent of each other. Returns how many were applied.
    pub(crate) async fn commit_counted(
        &self,
        txs: Vec<Transaction>,
        durability: Durability,
    ) -> Result<usize, LedgerError> {
        let outcomes = self.commit(txs, durability).await?;
        let applied = outcomes.iter().filter(|outcome| **outcome == Outcome::Applied);
        Ok(applied.count())
    }

    /// Commits transactions that are independent of each other, in as few calls as the nexus allows.
    pub(crate) async fn commit(
        &self,
        txs: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        let mut outcomes = Vec::with_capacity(txs.len());
        for batch in batches(txs) {
            outcomes.extend(self.commit_batch(batch, durability).await?);
        }
        Ok(outcomes)
    }

    /// Commits a batch. Once more, if nobody knows whether it happened: the transactions carry their ids, so the
    /// second time tells.
    pub(crate) async fn commit_batch(
        &self,
        txs: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        let follows = txs.iter().any(writes_followups);
        let answer = match self.nexus.commit(&self.space, txs.clone(), durability).await {
            Err(NexusError::OutcomeUnknown(_)) => self.nexus.commit(&self.space, txs, durability).await,
            answered => answered,
        };
        if follows {
            self.followups_written
                .send_modify(|version| *version = version.wrapping_add(1));
        }
        answer
    }
}

/// Splits transactions, in their order, into batches that the nexus accepts.
pub(crate) fn batches(txs: Vec<Transaction>) -> Vec<Vec<Transaction>> {
    let (mut batches, mut bytes): (Vec<Vec<Transaction>>, usize) = (Vec::new(), 0);
    for tx in txs {
        let own = payload_bytes(&tx);
        match batches.last_mut() {
            Some(batch)
                if batch.len() < nexus::limits::BATCH_TRANSACTIONS_MAX
                    && bytes + own <= nexus::limits::BATCH_BYTES_MAX =>
            {
                bytes += own;
                batch.push(tx);
            }
            Some(_) | None => {
                bytes = own;
                batches.push(vec![tx]);
            }
        }
    }
    batches
}

/// Says whether something must follow that is to be done at once.
fn writes_followups(tx: &Transaction) -> bool {
    tx.hints.iter().any(|hint| hint == FOLLOWUPS)
}

fn payload_bytes(tx: &Transaction) -> usize {
    let puts: usize = tx.puts.iter().map(|(_, bytes)| bytes.len()).sum();
    let appends: usize = tx.appends.iter().map(|append| append.bytes.len()).sum();
    puts + appends
}

fn read(ulid: &str, record: &Record) -> Result<StoredJob, LedgerError> {
    Ok(StoredJob::read(ulid, record)?)
}
