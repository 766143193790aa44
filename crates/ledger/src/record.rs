//! What is stored, and how: a version byte, then CBOR.
//!
//! A record may have been written by a newer minor version, which may add fields and nothing else: fields that are not
//! known are passed over, and kept when the record is written anew ([`Stored::rewritten`]); fields that are missing have
//! defaults. A newer major version (another first byte) is refused, so that two versions side by side agree or refuse, and
//! never corrupt. The job itself is `domain::Job`; specs have their own canonical encoding.

mod unknown_fields;

use domain::job::Attempt;
use domain::requirement::Labels;
use domain::{AgentId, AgentName, AgentRef, Digest, Job, Offer, Resources, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The first byte of every record.
pub const RECORD_VERSION: u8 = 1;

/// Stored bytes that this version does not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Another major version wrote it.
    #[error("record `{key}` has format {found:?}, this version knows {RECORD_VERSION}")]
    Version {
        /// The record.
        key: String,
        /// Its first byte.
        found: Option<u8>,
    },
    /// It is not what it should be.
    #[error("record `{key}` cannot be decoded: {why}")]
    Content {
        /// The record.
        key: String,
        /// The decoder's words.
        why: String,
    },
}

/// Encodes a record.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![RECORD_VERSION];
    ciborium::into_writer(value, &mut bytes).expect("records have no map with keys that CBOR cannot write");
    bytes
}

/// Decodes a record. `key` is for the error.
///
/// # Errors
/// Another major version wrote the bytes, or they are damaged.
pub fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Undecodable> {
    match bytes.split_first() {
        Some((&RECORD_VERSION, rest)) => ciborium::from_reader(rest).map_err(|error| Undecodable::Content {
            key: key.to_owned(),
            why: error.to_string(),
        }),
        other => Err(Undecodable::Version {
            key: key.to_owned(),
            found: other.map(|(byte, _)| *byte),
        }),
    }
}

/// A record as it was read: what this version understands of it, and all that there was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Stored<T> {
    /// What is understood.
    pub value: T,
    /// The bytes that were read; none for a record that is not there yet.
    bytes: Vec<u8>,
}

impl<T: Serialize + DeserializeOwned> Stored<T> {
    /// Decodes a record. `key` is for the error.
    ///
    /// # Errors
    /// Another major version wrote the bytes, or they are damaged.
    pub fn decode(key: &str, bytes: Vec<u8>) -> Result<Self, Undecodable> {
        let value = decode(key, &bytes)?;
        Ok(Self { value, bytes })
    }

    /// The bytes to write when the record becomes `next`: with every field of the old bytes that this version does not
    /// know, for a newer one may need it.
    pub fn rewritten(&self, next: &T) -> Vec<u8> {
        unknown_fields::carried_over(&self.bytes, &encode(&self.value), encode(next))
    }
}

/// A job and the end of its chain of facts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job.
    #[serde(rename = "j")]
    pub job: Job,
    /// The digest of its newest journal entry.
    #[serde(rename = "h")]
    pub head: Digest,
}

/// The ended attempts of a job that went on, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct AttemptsRecord {
    /// The attempts.
    pub ended: Vec<Attempt>,
}

/// What one attempt left.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArtifactsRecord {
    /// By path.
    pub files: Vec<ArtifactRecord>,
}

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// Path beneath the work directory.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its content in the vault.
    pub digest: Digest,
    /// Whether it may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// Where the parts of a shipped log are: segments in the vault, then the tail in the nexus.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LogRecord {
    /// In order, without a gap from offset 0.
    #[serde(default)]
    pub segments: Vec<Segment>,
    /// Bytes in the tail.
    #[serde(default)]
    pub tail_bytes: u64,
}

/// A part of a log in the vault.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Segment {
    /// Bytes.
    #[serde(rename = "n")]
    pub bytes: u64,
    /// The blob.
    #[serde(rename = "d")]
    pub digest: Digest,
}

impl LogRecord {
    /// Bytes in all segments: where the tail begins.
    pub fn tail_begins(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Bytes stored in all.
    pub fn stored(&self) -> u64 {
        self.tail_begins() + self.tail_bytes
    }
}

/// One agent process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AgentRecord {
    /// The process start.
    pub id: AgentId,
    /// The configured name.
    pub name: AgentName,
    /// Equal fingerprints mean equal agents.
    pub fingerprint: Digest,
    /// What jobs can require.
    pub labels: Labels,
    /// What it may give to jobs.
    pub capacity: Resources,
    /// How many jobs it runs at once.
    pub slots: u32,
    /// What runs its jobs.
    pub executor: String,
    /// HiveForge's version.
    pub version: String,
    /// When it enrolled first.
    pub enrolled_at: Timestamp,
}

impl AgentRecord {
    /// Who it is, as jobs record it.
    pub fn reference(&self) -> AgentRef {
        AgentRef {
            id: self.id.clone(),
            name: self.name.clone(),
            fingerprint: self.fingerprint,
        }
    }

    /// What the agent offers, given what is free now.
    pub fn offer(&self, free: Resources, draining: bool) -> Offer {
        Offer {
            labels: self.labels.clone(),
            capacity: self.capacity,
            free,
            draining,
        }
    }
}

/// What belongs to an agent's name, whichever process bears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct AgentNameRecord {
    /// Take no more jobs.
    #[serde(default)]
    pub draining: bool,
}

/// What reapers know of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BeatRecord {
    /// When one ticked last.
    pub at: Timestamp,
    /// Nothing is taken before then.
    pub grace_until: Timestamp,
}

/// What an idempotency key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdempotencyRecord {
    /// When it was first used; the ids of its jobs follow from it.
    pub at: Timestamp,
    /// The digest of the request's content.
    pub content: Digest,
}

/// Where a record that nobody could read stood, and why it is put aside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QuarantineRecord {
    /// The ordered set.
    pub from: String,
    /// When it was put aside.
    pub at: Timestamp,
    /// Why it cannot be read.
    pub why: String,
}
