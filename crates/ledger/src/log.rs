//! Logs of attempts: segments in the vault, a bounded tail in the nexus, one gapless row of bytes.
//!
//! A chunk is accepted only at the offset where the stored bytes end, and only for the live lease. The tail holds at
//! most [`TAIL_BYTES_MAX`] and one chunk; then it is rolled: its bytes become a blob (the caller's work, the ledger
//! knows no vault) and the record names the blob instead. Losing the newest chunks in a power loss is no loss: the
//! agent keeps its spool until the finish, which is refused until all bytes are stored.

use domain::job::ProvenLease;
use domain::{Digest, JobId};
use nexus::{Append, Class, Durability, Entry, Guard, Span, Transaction, Version};

use crate::error::LedgerError;
use crate::keys;
use crate::ledger::{Ledger, TRIES_MAX};
use crate::record::{LogRecord, Segment, Stored};
use crate::renew::Readopted;
use crate::transaction::StoredJob;

/// Most bytes of one attempt's log that stay in the nexus.
pub const TAIL_BYTES_MAX: u64 = 64 << 10;

/// A part of a framed log at its offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// Where it begins.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The stored part of a log, and the version to guard on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogStatus {
    /// Version of the record; none while there is no record.
    pub version: Option<Version>,
    /// Where the parts are.
    pub record: Stored<LogRecord>,
}

impl LogStatus {
    /// How many bytes are stored.
    pub fn stored(&self) -> u64 {
        self.record.value.stored()
    }
}

/// One readable part of a stored log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPiece {
    /// In the vault.
    Segment(Segment),
    /// In the nexus; here it is.
    Bytes(Vec<u8>),
}

/// A segment that takes the place of the tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rolled {
    /// The status that it was made from.
    pub from: LogStatus,
    /// The blob with the tail's bytes and the new chunk's.
    pub segment: Segment,
}

/// A chunk was not stored.
#[derive(Debug, thiserror::Error)]
pub enum LogRefused {
    /// The lease is not live.
    #[error("the attempt does not hold the lease")]
    LeaseLost,
    /// The chunk does not begin where the stored bytes end.
    #[error("{stored} bytes are stored; the chunk begins elsewhere")]
    Offset {
        /// What is stored.
        stored: u64,
    },
    /// The log changed meanwhile; look at the status again.
    #[error("the log changed meanwhile")]
    Changed,
    /// The ledger could not do its work.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Ledger {
    /// What is stored of an attempt's log.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn log_status(&self, job: &JobId, attempt: u32) -> Result<LogStatus, LedgerError> {
        let key = keys::log_record(job, attempt);
        match self.stored(&key).await? {
            None => Ok(LogStatus::default()),
            Some((version, record)) => Ok(LogStatus {
                version: Some(version),
                record,
            }),
        }
    }

    /// Appends a chunk to the tail. Returns how many bytes are stored now.
    ///
    /// # Errors
    /// The lease is lost, or the offset is not the end; nothing is stored then.
    pub async fn append_log(&self, lease: &ProvenLease, chunk: &LogChunk) -> Result<u64, LogRefused> {
        let (job, attempt) = (&lease.job, lease.attempt);
        for _ in 0..TRIES_MAX {
            let status = self.log_status(job, attempt).await?;
            let stored = status.stored();
            if stored != chunk.offset {
                return Err(LogRefused::Offset { stored });
            }
            let tail_bytes = status.record.value.tail_bytes + chunk.bytes.len() as u64;
            let next = LogRecord {
                tail_bytes,
                ..status.record.value.clone()
            };
            let mut tx = self.log_transaction(lease, &status, &next).await?;
            for part in chunk.bytes.chunks(nexus::limits::ENTRY_BYTES_MAX) {
                let log = keys::log(job, attempt);
                tx.appends.push(Append {
                    log,
                    thread: None,
                    bytes: part.to_vec(),
                });
            }
            if self.commit_one(tx, Durability::Process).await? {
                return Ok(next.stored());
            }
        }
        Err(LedgerError::Contended { job: job.clone() }.into())
    }

    /// Puts a segment in the place of the tail. Returns how many bytes are stored now.
    ///
    /// # Errors
    /// The lease is lost, or the log changed since `rolled.from` was read.
    pub async fn roll_log(&self, lease: &ProvenLease, rolled: Rolled) -> Result<u64, LogRefused> {
        let (job, attempt) = (&lease.job, lease.attempt);
        let mut next = rolled.from.record.value.clone();
        next.segments.push(rolled.segment);
        next.tail_bytes = 0;
        let mut tx = self.log_transaction(lease, &rolled.from, &next).await?;
        let log = keys::log(job, attempt);
        let below = self
            .nexus
            .log_len(&self.space, &log)
            .await
            .map_err(LedgerError::from)?;
        tx.guards.push(Guard::LogLen(log.clone(), below));
        if below > 0 {
            tx.trims.push((log, below));
        }
        if self.commit_one(tx, Durability::Process).await? {
            Ok(next.stored())
        } else {
            Err(LogRefused::Changed)
        }
    }

    /// The transaction that writes a log's record, guarded by the live lease and the record that was read.
    async fn log_transaction(
        &self,
        lease: &ProvenLease,
        status: &LogStatus,
        next: &LogRecord,
    ) -> Result<Transaction, LogRefused> {
        let stored = self.live(lease).await?.ok_or(LogRefused::LeaseLost)?;
        let key = keys::log_record(&lease.job, lease.attempt);
        // A finish waits for the log, so the log must pass where a finish passes. What it adds here is bounded.
        let mut tx = Transaction::new(self.tx_id(), Class::Relief);
        tx.guards.push(stored.guard());
        tx.guards.push(Guard::Record(key.clone(), status.version));
        tx.puts.push((key, status.record.rewritten(next)));
        tx.hints.push(keys::log_hint(lease.job.ulid()));
        Ok(tx)
    }

    /// The job, if this lease is the live one, or is again because its claim was forgotten.
    async fn live(&self, lease: &ProvenLease) -> Result<Option<StoredJob>, LedgerError> {
        let stored = self.load(&lease.job).await?;
        match stored {
            Some(stored) if lease.is_live(stored.job()) => Ok(Some(stored)),
            Some(stored) if lease.was_forgotten(stored.job()) => match self.readopt(lease).await? {
                Readopted::Yes => Ok(self
                    .load(&lease.job)
                    .await?
                    .filter(|job| lease.is_live(job.job()))),
                Readopted::No | Readopted::AgentUnknown => Ok(None),
            },
            Some(_) | None => Ok(None),
        }
    }

    /// The tail's bytes.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn log_tail(&self, job: &JobId, attempt: u32) -> Result<Vec<u8>, LedgerError> {
        let (mut bytes, mut from) = (Vec::new(), 0);
        loop {
            let span = Span {
                from,
                n: nexus::limits::PAGE_MAX,
            };
            let page: Vec<Entry> = self
                .nexus
                .read_log(&self.space, &keys::log(job, attempt), span)
                .await?;
            let Some(last) = page.last() else { return Ok(bytes) };
            from = last.position + 1;
            page.iter()
                .for_each(|entry| bytes.extend_from_slice(&entry.bytes));
        }
    }

    /// The parts of a log, in order. A log that changes while it is read is read again.
    ///
    /// # Errors
    /// The nexus does not answer, or the log changes too fast.
    pub async fn log_pieces(&self, job: &JobId, attempt: u32) -> Result<Vec<LogPiece>, LedgerError> {
        for _ in 0..TRIES_MAX {
            let before = self.log_status(job, attempt).await?;
            let tail = self.log_tail(job, attempt).await?;
            let unrolled =
                self.log_status(job, attempt).await?.record.value.segments == before.record.value.segments;
            if unrolled {
                let segments = before.record.value.segments.into_iter().map(LogPiece::Segment);
                return Ok(segments.chain([LogPiece::Bytes(tail)]).collect());
            }
        }
        Err(LedgerError::Contended { job: job.clone() })
    }
}

impl Segment {
    /// A segment of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            digest: Digest::of(bytes),
        }
    }
}
