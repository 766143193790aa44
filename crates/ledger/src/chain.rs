//! The journal: one append-only log of facts, in which each job's facts form a chain of their own.
//!
//! An entry carries the digest of the job's previous entry; the job's record carries the newest digest. So an edit or
//! a gap in a job's history shows, and needs nothing beside the journal and the record to be found.

use domain::job::StateName;
use domain::{Digest, JobFact, Timestamp};
use serde::{Deserialize, Serialize};

use crate::record::{self, Undecodable};

/// The `prev` of a job's first fact.
pub(crate) const CHAIN_START: Digest = Digest::from_bytes([0; 32]);

/// One fact in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The job's ULID.
    #[serde(rename = "j")]
    pub ulid: String,
    /// When it was committed, by the nexus's clock.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// The job's state after it.
    #[serde(rename = "s")]
    pub state: StateName,
    /// What happened.
    #[serde(rename = "f")]
    pub fact: JobFact,
    /// The digest of the job's previous entry.
    #[serde(rename = "p")]
    pub prev: Digest,
}

impl JournalEntry {
    /// The stored bytes, and the digest that the next entry and the record carry.
    pub fn seal(&self) -> (Vec<u8>, Digest) {
        let bytes = record::encode(self);
        let digest = Digest::of(&bytes);
        (bytes, digest)
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// The bytes are damaged or of another version.
    pub fn read(bytes: &[u8]) -> Result<(Self, Digest), Undecodable> {
        Ok((record::decode("journal", bytes)?, Digest::of(bytes)))
    }
}

/// Checks one job's entries, oldest first, against the head in its record. Returns what is wrong. What was noted of a
/// record that could not be read is no link of the chain.
pub fn verify_chain(entries: &[(JournalEntry, Digest)], head: Digest) -> Option<String> {
    let mut prev = CHAIN_START;
    let links = entries.iter().enumerate();
    for (number, (entry, digest)) in links.filter(|(_, (entry, _))| entry.fact.is_transition()) {
        if entry.prev != prev {
            return Some(format!("fact {number} does not follow the fact before it"));
        }
        prev = *digest;
    }
    (prev != head).then(|| "the newest fact is not the one that the record names".to_owned())
}
