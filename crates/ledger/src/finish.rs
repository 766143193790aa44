//! Finishes: agents report ended runs, many in one commit.
//!
//! A finish is accepted only with everything that it speaks of: the log is complete to the stated byte, and the
//! manifest becomes visible in the same commit. It is synced to the disk before it is answered. A repetition is
//! answered like the first one and writes nothing, whatever has become of the job since; a finish whose claim the nexus
//! forgot is recorded after the claim was committed anew.

use domain::job::{ProvenLease, Report, State, apply};
use domain::{AgentId, Digest, Job, JobEvent, JobId, Refused, Step, Timestamp};
use nexus::{Append, Durability, Guard, Outcome, Transaction};

use crate::error::LedgerError;
use crate::fail_points;
use crate::keys;
use crate::ledger::{Ledger, TRIES_MAX};
use crate::record::{self, ArtifactRecord, ArtifactsRecord};
use crate::renew::Readopted;
use crate::transaction::StoredJob;

/// One ended run. The lease is proven by its token, the blobs of the artifacts are in the vault.
#[derive(Debug, Clone)]
pub struct FinishItem {
    /// The job, the attempt, and who ran it.
    pub lease: ProvenLease,
    /// How it ended and what it left.
    pub report: Report,
    /// The whole framed log, when none of it was shipped before.
    pub log: Option<Vec<u8>>,
    /// The manifest.
    pub artifacts: Vec<ArtifactRecord>,
}

/// A finish was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum FinishRefused {
    /// There is no such job.
    #[error("there is no job {0}")]
    Unknown(JobId),
    /// The rules refuse it: the lease was lost, or the report contradicts the job.
    #[error(transparent)]
    Rules(#[from] Refused),
    /// The nexus forgot the claim, and its agent too: the finish is recorded once the agent has enrolled again.
    #[error("agent {0} is not known here any more; enrol with POST /v1/agents first")]
    AgentUnknown(AgentId),
    /// The log is not complete yet.
    #[error("the log has {stored} of the stated {stated} bytes")]
    LogIncomplete {
        /// What is stored.
        stored: u64,
        /// What the report states.
        stated: u64,
    },
    /// The log that came along is not the one that the report states.
    #[error("the log that came along is not the stated one")]
    LogMismatch,
    /// The ledger could not do its work.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What one look at an item leads to.
enum Planned {
    Commit(Box<Transaction>),
    /// It is recorded already.
    Done,
    /// The claim is committed anew; look again.
    Readopted,
}

impl Ledger {
    /// Records ended runs together: one commit, one sync to the disk. One answer for each.
    pub async fn finish(&self, items: &[FinishItem]) -> Vec<Result<(), FinishRefused>> {
        let mut answers: Vec<Option<Result<(), FinishRefused>>> = items.iter().map(|_| None).collect();
        for tries in 0..TRIES_MAX {
            let open: Vec<usize> = answers
                .iter()
                .enumerate()
                .filter(|(_, a)| a.is_none())
                .map(|(i, _)| i)
                .collect();
            if open.is_empty() {
                break;
            }
            if let Err(error) = self.finish_once(items, &open, &mut answers, tries).await {
                let why = error.to_string();
                tracing::warn!(%why, "finishes could not be committed");
                fail_all(&mut answers, &open, error);
            }
        }
        let contended = |item: &FinishItem| LedgerError::Contended {
            job: item.lease.job.clone(),
        };
        items
            .iter()
            .zip(answers)
            .map(|(item, answer)| answer.unwrap_or_else(|| Err(contended(item).into())))
            .collect()
    }

    /// Looks at the open items together and answers those that are settled by it.
    async fn finish_once(
        &self,
        items: &[FinishItem],
        open: &[usize],
        answers: &mut [Option<Result<(), FinishRefused>>],
        tries: usize,
    ) -> Result<(), LedgerError> {
        let now = self.now().await?;
        let chosen: Vec<(usize, &FinishItem)> = open
            .iter()
            .filter_map(|index| items.get(*index).map(|item| (*index, item)))
            .collect();
        let ulids: Vec<String> = chosen
            .iter()
            .map(|(_, item)| item.lease.job.ulid().to_owned())
            .collect();
        let (mut txs, mut waiting) = (Vec::new(), Vec::new());
        for ((index, item), found) in chosen.into_iter().zip(self.load_all(&ulids).await?) {
            let planned = match found {
                None => Err(FinishRefused::Unknown(item.lease.job.clone())),
                Some(Err(error)) => Err(error.into()),
                Some(Ok(before)) => self.plan_finish(&before, item, now, tries).await,
            };
            let answer = match planned {
                Ok(Planned::Commit(tx)) => {
                    txs.push(*tx);
                    waiting.push(index);
                    None
                }
                Ok(Planned::Done) => Some(Ok(())),
                Ok(Planned::Readopted) => None,
                Err(refused) => Some(Err(refused)),
            };
            set(answers, index, answer);
        }
        for (index, outcome) in waiting.into_iter().zip(self.commit(txs, Durability::Disk).await?) {
            let answer = match outcome {
                Outcome::Applied | Outcome::Already => Some(Ok(())),
                Outcome::Full => Some(Err(LedgerError::Full.into())),
                Outcome::Refused { .. } => None,
            };
            set(answers, index, answer);
        }
        Ok(())
    }

    async fn plan_finish(
        &self,
        before: &StoredJob,
        item: &FinishItem,
        now: Timestamp,
        tries: usize,
    ) -> Result<Planned, FinishRefused> {
        let lease = as_presented(&item.lease, before.job());
        lease.check_holder(before.job())?;
        let event = JobEvent::Finished {
            attempt: lease.attempt,
            report: item.report.clone(),
        };
        let step = match apply(before.job(), event, now) {
            Ok(Step::Moved(step)) => step,
            Ok(Step::Same) | Err(Refused::StaleLease { .. }) => return self.not_live(&lease, before).await,
            Err(refused) => return Err(refused.into()),
        };
        let mut tx = self.change(before, *step, now).await?;
        self.complete_log(&mut tx, item, tries).await?;
        if !item.artifacts.is_empty() {
            let manifest = ArtifactsRecord {
                files: item.artifacts.clone(),
            };
            tx.puts.push((
                keys::artifacts(&item.lease.job, item.lease.attempt),
                record::encode(&manifest),
            ));
        }
        Ok(Planned::Commit(Box::new(tx)))
    }

    /// A finish for an attempt that is not live: recorded before, forgotten with its claim, or stale.
    async fn not_live(&self, lease: &ProvenLease, before: &StoredJob) -> Result<Planned, FinishRefused> {
        if self.was_finished(lease, before).await? {
            return Ok(Planned::Done);
        }
        match self.readopt(lease).await? {
            Readopted::Yes => Ok(Planned::Readopted),
            Readopted::No => Err(lease.stale(before.job()).into()),
            Readopted::AgentUnknown => Err(FinishRefused::AgentUnknown(lease.agent.clone())),
        }
    }

    /// Makes sure that the log is stored to the stated byte, once this transaction is applied.
    async fn complete_log(
        &self,
        tx: &mut Transaction,
        item: &FinishItem,
        tries: usize,
    ) -> Result<(), FinishRefused> {
        let Some(evidence) = &item.report.evidence else {
            return Ok(());
        };
        if let Some(bytes) = item.log.as_ref().filter(|bytes| !bytes.is_empty()) {
            if bytes.len() as u64 != evidence.log_bytes || Digest::of(bytes) != evidence.log_digest {
                return Err(FinishRefused::LogMismatch);
            }
            // Usually nothing was shipped before, so it is looked for only after the guards have found something.
            let is_new = tries == 0
                || self
                    .log_status(&item.lease.job, item.lease.attempt)
                    .await?
                    .version
                    .is_none();
            if is_new {
                append_whole_log(tx, item, bytes);
                return Ok(());
            }
        }
        if evidence.log_bytes == 0 {
            return Ok(());
        }
        let status = self.log_status(&item.lease.job, item.lease.attempt).await?;
        let stored = status.stored();
        if stored != evidence.log_bytes {
            let stated = evidence.log_bytes;
            return Err(FinishRefused::LogIncomplete { stored, stated });
        }
        tx.guards.push(Guard::Record(
            keys::log_record(&item.lease.job, item.lease.attempt),
            status.version,
        ));
        Ok(())
    }
}

/// The lease as it was proven. Sabotaged, it is that of whichever attempt runs.
fn as_presented(lease: &ProvenLease, job: &Job) -> ProvenLease {
    match &job.state {
        State::Running(running) if fail_points::is_on(fail_points::ACCEPT_STALE_FINISH) => ProvenLease {
            job: lease.job.clone(),
            attempt: job.attempt,
            agent: running.agent.id.clone(),
        },
        State::Running(_)
        | State::Queued { .. }
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. } => lease.clone(),
    }
}

/// Stores a log of which nothing was stored before.
fn append_whole_log(tx: &mut Transaction, item: &FinishItem, bytes: &[u8]) {
    let log = keys::log(&item.lease.job, item.lease.attempt);
    tx.guards.push(Guard::Record(
        keys::log_record(&item.lease.job, item.lease.attempt),
        None,
    ));
    tx.guards.push(Guard::LogLen(log.clone(), 0));
    for part in bytes.chunks(nexus::limits::ENTRY_BYTES_MAX) {
        tx.appends.push(Append {
            log: log.clone(),
            thread: None,
            bytes: part.to_vec(),
        });
    }
    tx.hints.push(keys::log_hint(item.lease.job.ulid()));
}

fn set<T>(answers: &mut [Option<T>], index: usize, answer: Option<T>) {
    if let Some(slot) = answers.get_mut(index) {
        *slot = answer;
    }
}

/// Gives the error to the first open item, and to the others the word that they were in the same commit.
fn fail_all(answers: &mut [Option<Result<(), FinishRefused>>], open: &[usize], error: LedgerError) {
    let shared = match &error {
        LedgerError::Nexus(nexus) => Some(nexus.clone()),
        LedgerError::Undecodable(_)
        | LedgerError::UnreadableSpec(_)
        | LedgerError::NoSpec(_)
        | LedgerError::Full
        | LedgerError::Contended { .. } => None,
    };
    let mut error = Some(error);
    for index in open {
        let own = match (&shared, error.take()) {
            (_, Some(error)) => error,
            (Some(nexus), None) => LedgerError::Nexus(nexus.clone()),
            (None, None) => LedgerError::Full,
        };
        set(answers, *index, Some(Err(own.into())));
    }
}
