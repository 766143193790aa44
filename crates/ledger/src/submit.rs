//! Submitting: specs become queued jobs, in one commit for many requests together.
//!
//! With an idempotency key a request can be repeated for ever. The key's record is made first and every job's
//! transaction is guarded by it; the ids of the jobs follow from the key and the record's time. So a repetition finds
//! the record, makes the same ids, and adds only what is missing.

use domain::job::accept;
use domain::{Digest, JobId, JobSpec, Principal, Timestamp};
use nexus::{
    Class, Current, Durability, Guard, Move, NexusError, Outcome, Record, Score, Transaction, TxId, Version,
};
use ulid::Ulid;

use crate::error::LedgerError;
use crate::fail_points;
use crate::keys;
use crate::ledger::Ledger;
use crate::record::{self, IdempotencyRecord};
use crate::transaction::created;

/// One request for one or more jobs.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Who asks.
    pub principal: Principal,
    /// What to run, each checked.
    pub specs: Vec<JobSpec>,
    /// Makes the request repeatable.
    pub idempotency: Option<Idempotency>,
}

/// An idempotency key and what it was used for.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// The digest of the request's content: the same key with another content is refused.
    pub content: Digest,
}

/// What a request made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The jobs, in the order of the specs.
    pub ids: Vec<JobId>,
    /// An earlier request with the same key made them.
    pub replayed: bool,
}

/// A request made no job, or it is unknown whether it did: repeat it with the same key.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The key was used for another content.
    #[error("the idempotency key was used for another request")]
    Mismatch,
    /// The nexus has no room.
    #[error("the nexus is full")]
    Full,
    /// The ledger could not do its work.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A request with everything decided, ready to be committed.
struct Planned {
    ids: Vec<JobId>,
    txs: Vec<Transaction>,
}

/// The key record that a request's jobs are guarded by.
struct KeyRecord {
    key: String,
    version: Version,
}

impl Ledger {
    /// Submits requests together: one commit, one sync to the disk. One answer for each request.
    pub async fn submit(&self, requests: &[Submission]) -> Vec<Result<Accepted, SubmitError>> {
        let now = match self.nexus.now().await {
            Ok(now) => fail_points::clock(Timestamp(now.0)),
            Err(error) => return requests.iter().map(|_| failed(&error)).collect(),
        };
        let planned: Vec<Planned> = requests
            .iter()
            .map(|request| self.plan_first(request, now))
            .collect();
        let outcomes = self.commit_planned(&planned).await;
        let mut answers = Vec::with_capacity(requests.len());
        for ((request, plan), outcomes) in requests.iter().zip(planned).zip(outcomes) {
            answers.push(match outcomes {
                Err(error) => failed(&error),
                Ok(own) => match existing_key(request, &own) {
                    Some(found) => self.repeat(request, &found).await,
                    None => settled(plan.ids, &own, false),
                },
            });
        }
        answers
    }

    /// Commits all that was planned at once. If one request breaks a limit of the nexus, each is committed alone, so
    /// that the others need not suffer; what was written already is known by its id.
    async fn commit_planned(&self, planned: &[Planned]) -> Vec<Result<Vec<Outcome>, NexusError>> {
        let txs = planned.iter().flat_map(|plan| plan.txs.iter().cloned()).collect();
        match self.commit(txs, Durability::Disk).await {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                let own = |plan: &Planned| Ok(outcomes.by_ref().take(plan.txs.len()).collect());
                planned.iter().map(own).collect()
            }
            Err(NexusError::Invalid(_)) if planned.len() > 1 => {
                let mut alone = Vec::with_capacity(planned.len());
                for plan in planned {
                    alone.push(self.commit(plan.txs.clone(), Durability::Disk).await);
                }
                alone
            }
            Err(error) => planned.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Plans a request as if its key had never been used.
    fn plan_first(&self, request: &Submission, now: Timestamp) -> Planned {
        let Some(idempotency) = &request.idempotency else {
            return self.plan_jobs(request, now, self.tx_id().0, None);
        };
        let id = self.tx_id();
        let key = keys::idempotency(&request.principal, &idempotency.key);
        let known = KeyRecord {
            key: key.clone(),
            version: id.into(),
        };
        let mut plan = self.plan_jobs(request, now, seed(request), Some(&known));
        plan.txs.insert(0, key_transaction(id, key, idempotency, now));
        plan
    }

    /// Repeats a request whose key was found: with the key's time, and adding only what is missing.
    async fn repeat(&self, request: &Submission, found: &Record) -> Result<Accepted, SubmitError> {
        let Some(idempotency) = &request.idempotency else {
            return Err(SubmitError::Mismatch);
        };
        let key = keys::idempotency(&request.principal, &idempotency.key);
        let stored: IdempotencyRecord = record::decode(&key, &found.bytes).map_err(LedgerError::from)?;
        if stored.content != idempotency.content {
            return Err(SubmitError::Mismatch);
        }
        let known = KeyRecord {
            key,
            version: found.version,
        };
        let plan = self.plan_jobs(request, stored.at, seed(request), Some(&known));
        let outcomes = self
            .commit(plan.txs, Durability::Disk)
            .await
            .map_err(LedgerError::from)?;
        settled(plan.ids, &outcomes, true)
    }

    fn plan_jobs(&self, request: &Submission, at: Timestamp, seed: u64, key: Option<&KeyRecord>) -> Planned {
        let mut plan = Planned {
            ids: Vec::new(),
            txs: Vec::new(),
        };
        for (index, spec) in request.specs.iter().enumerate() {
            let id = self.job_id(at, index, seed);
            let by = domain::job::Submission {
                id: id.clone(),
                principal: request.principal.clone(),
            };
            let mut tx = created(self.tx_id(), accept(spec, by, at), spec, at);
            if let Some(key) = key {
                tx.guards.push(Guard::Record(key.key.clone(), Some(key.version)));
            }
            plan.ids.push(id);
            plan.txs.push(tx);
        }
        plan
    }

    /// The id of the `index`-th job of a request: a ULID whose random part begins with the index, so that the jobs
    /// of one batch sort, and so queue, in the order in which they were given.
    fn job_id(&self, at: Timestamp, index: usize, seed: u64) -> JobId {
        let random = ((index as u128 & 0xffff) << 64) | u128::from(seed);
        let ulid = Ulid::from_parts(at.as_millis(), random)
            .to_string()
            .to_lowercase();
        JobId::new(self.pool().clone(), &ulid).expect("a ULID in lower case is a job id's second part")
    }
}

fn key_transaction(id: TxId, key: String, idempotency: &Idempotency, now: Timestamp) -> Transaction {
    let mut tx = Transaction::new(id, Class::Growth);
    let score = Some(Score::saturating(now.as_millis()));
    tx.guards.push(Guard::Record(key.clone(), None));
    tx.moves.push(Move {
        set: keys::IDEMPOTENCY.to_owned(),
        member: key.clone(),
        score,
    });
    tx.puts.push((
        key,
        record::encode(&IdempotencyRecord {
            at: now,
            content: idempotency.content,
        }),
    ));
    tx
}

/// What the ids of a keyed request are made of: the same for every repetition.
fn seed(request: &Submission) -> u64 {
    let key = request
        .idempotency
        .as_ref()
        .map_or("", |idempotency| &idempotency.key);
    let digest = Digest::of(format!("{}\n{key}", request.principal).as_bytes());
    let (first, _) = digest.as_bytes().split_at(8);
    first.iter().fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
}

/// The key's record, when the first transaction of a keyed request found one.
fn existing_key(request: &Submission, outcomes: &[Outcome]) -> Option<Record> {
    match (&request.idempotency, outcomes.first()) {
        (
            Some(_),
            Some(Outcome::Refused {
                current: Current::Record(Some(found)),
                ..
            }),
        ) => Some(found.clone()),
        _ => None,
    }
}

fn failed(error: &NexusError) -> Result<Accepted, SubmitError> {
    Err(LedgerError::from(error.clone()).into())
}

fn settled(ids: Vec<JobId>, outcomes: &[Outcome], replayed: bool) -> Result<Accepted, SubmitError> {
    if outcomes.contains(&Outcome::Full) {
        return Err(SubmitError::Full);
    }
    // Refused by the first guard, the job is there already: its id belongs to this request alone. Refused by the
    // guard on the key, the key was forgotten meanwhile and the job was not made.
    let unmade = |outcome: &&Outcome| matches!(outcome, Outcome::Refused { guard, .. } if *guard > 0);
    match (outcomes.iter().find(unmade), ids.first()) {
        (Some(_), Some(job)) => Err(LedgerError::Contended { job: job.clone() }.into()),
        (Some(_) | None, _) => Ok(Accepted { ids, replayed }),
    }
}
