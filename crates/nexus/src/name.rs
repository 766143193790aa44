//! Names of the things a nexus holds. A space is validated once, where it is made; keys, sets, members, logs and counters
//! are plain text that the caller composes, checked against [`NAME_BYTES_MAX`](crate::limits::NAME_BYTES_MAX) on the way in.
//! A name's meaning is the caller's: the only structure a nexus reads is the family of a set, the part before its first `/`.

use std::fmt;

use crate::limits::SPACE_BYTES_MAX;

/// The key of a record.
pub type Key = String;
/// The name of an ordered set; `lane/x` belongs to the family `lane`.
pub type Set = String;
/// A member of an ordered set.
pub type Member = String;
/// The name of a log.
pub type Log = String;
/// The name of a counter.
pub type Counter = String;

/// One closed world of records, sets, logs and counters. No transaction spans two spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space(String);

impl Space {
    /// Accepts 1 to [`SPACE_BYTES_MAX`] characters of `a-z`, `0-9`, `-`, `_` and `/`, for example `pool/default`.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidSpace> {
        let name = name.into();
        let is_allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_/".contains(&c);
        let is_sized = (1..=SPACE_BYTES_MAX).contains(&name.len());
        match is_sized && name.bytes().all(is_allowed) {
            true => Ok(Self(name)),
            false => Err(InvalidSpace { name }),
        }
    }

    /// The name as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no name of a space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("name a space: {name:?} is not 1 to {SPACE_BYTES_MAX} characters of a-z, 0-9, '-', '_' and '/'")]
pub struct InvalidSpace {
    /// What was offered.
    pub name: String,
}
