//! What administrators did to the system itself, on record: who, when, what.
//!
//! A log that is only appended to, apart from jobs and their journal: nothing depends on it, so reading it is for people.
//! The last [`ACTS_KEPT_MAX`] are kept. An act is recorded before it is carried out, so what cannot be recorded is not
//! done.

use domain::{Principal, Timestamp};
use nexus::{Append, Class, Durability, Span, Transaction};
use serde::{Deserialize, Serialize};

use crate::error::LedgerError;
use crate::keys;
use crate::ledger::Ledger;
use crate::record;

/// How many acts are kept; older ones are forgotten.
pub const ACTS_KEPT_MAX: usize = 1_000;

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActEntry {
    /// When, by the nexus's clock.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// Who did it.
    #[serde(rename = "b")]
    pub by: Principal,
    /// What.
    #[serde(rename = "a")]
    pub act: Act,
}

/// What administrators do to the system itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A fault was put into a live actor, for a drill.
    FaultInjected {
        /// The actor.
        path: String,
        /// What goes wrong and when, in words.
        fault: String,
    },
    /// Faults that had not happened yet were taken back.
    FaultsCleared {
        /// How many.
        waiting: usize,
    },
}

impl Ledger {
    /// Puts an act on record, durably, and returns when.
    ///
    /// # Errors
    /// The nexus does not answer or is full; then the act must not be carried out.
    pub async fn record_act(&self, by: &Principal, act: Act) -> Result<Timestamp, LedgerError> {
        let at = self.now().await?;
        let entry = ActEntry {
            at,
            by: by.clone(),
            act,
        };
        let bytes = record::encode(&entry);
        let log = keys::ACTS.to_owned();
        let recorded = self.nexus.log_len(&self.space, &log).await?;
        let mut tx = Transaction::new(self.tx_id(), Class::Growth);
        // The record is there so that a commit whose answer was lost is known again and appends nothing twice.
        tx.puts.push((log.clone(), bytes.clone()));
        tx.appends.push(Append {
            log: log.clone(),
            thread: None,
            bytes,
        });
        let kept_from = (recorded + 1).saturating_sub(ACTS_KEPT_MAX as u64);
        if kept_from > 0 {
            tx.trims.push((log, kept_from));
        }
        self.commit_one(tx, Durability::Disk).await?;
        Ok(at)
    }

    /// The acts that are kept, oldest first.
    ///
    /// # Errors
    /// The nexus does not answer, or an entry cannot be understood.
    pub async fn acts(&self) -> Result<Vec<ActEntry>, LedgerError> {
        let span = Span {
            from: 0,
            n: nexus::limits::PAGE_MAX,
        };
        let entries = self.nexus.read_log(&self.space, keys::ACTS, span).await?;
        let read = entries
            .iter()
            .map(|entry| record::decode(keys::ACTS, &entry.bytes));
        Ok(read.collect::<Result<_, _>>()?)
    }
}

const _: () = assert!(ACTS_KEPT_MAX <= nexus::limits::PAGE_MAX, "all are read at once");
