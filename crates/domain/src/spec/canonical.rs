//! The canonical encoding of a spec: one byte string per meaning, and its digest.
//!
//! It is a version byte and then CBOR (RFC 8949) with the fields in the order of the struct, defaults left out and
//! maps sorted. The digest names the spec for good, so the encoding of a given spec must never change: golden tests
//! hold it. A spec with a field that this version does not know is refused, not run without it.

use crate::digest::Digest;
use crate::spec::JobSpec;

/// The first byte of every encoded spec.
pub const CANONICAL_VERSION: u8 = 1;

/// Stored bytes that are not a spec that this version understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableSpec {
    /// The version byte is another.
    #[error("spec format {found:?} is not known here (expected {CANONICAL_VERSION})")]
    Version {
        /// The first byte, if there is one.
        found: Option<u8>,
    },
    /// What follows is not a spec.
    #[error("stored spec cannot be decoded: {0}")]
    Content(String),
}

impl JobSpec {
    /// The canonical bytes.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = vec![CANONICAL_VERSION];
        ciborium::into_writer(self, &mut bytes).expect("a spec has no map with keys that CBOR cannot write");
        bytes
    }

    /// The spec of canonical bytes.
    ///
    /// # Errors
    /// The bytes are of another version, or no spec.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, UnreadableSpec> {
        match bytes.split_first() {
            Some((&CANONICAL_VERSION, rest)) => {
                ciborium::from_reader(rest).map_err(|error| UnreadableSpec::Content(error.to_string()))
            }
            other => Err(UnreadableSpec::Version {
                found: other.map(|(version, _)| *version),
            }),
        }
    }

    /// The digest of the canonical bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical())
    }
}
