//! Scores order the members of a set, and timestamps are what most scores are made of.
//!
//! A score is an integer that every backend keeps exactly: it fits the 53 bits of a double, because that is what an
//! ordered set in Redis stores. What does not fit is refused where the score is made, not where it is used.

use std::fmt;

/// The largest score: 2^53 - 1.
pub const SCORE_MAX: u64 = (1 << 53) - 1;

/// The place of a member in its set. Equal scores are ordered by member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Score(u64);

impl Score {
    /// The smallest score.
    pub const ZERO: Self = Self(0);
    /// The largest score.
    pub const MAX: Self = Self(SCORE_MAX);

    /// Refuses a value above [`SCORE_MAX`].
    pub const fn new(value: u64) -> Result<Self, ScoreTooLarge> {
        match value <= SCORE_MAX {
            true => Ok(Self(value)),
            false => Err(ScoreTooLarge { value }),
        }
    }

    /// The nearest score: a value above [`SCORE_MAX`] becomes [`Score::MAX`].
    pub const fn saturating(value: u64) -> Self {
        match value <= SCORE_MAX {
            true => Self(value),
            false => Self::MAX,
        }
    }

    /// The value, at most [`SCORE_MAX`].
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The value has more than 53 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("make a score of {value}: the largest is {SCORE_MAX}")]
pub struct ScoreTooLarge {
    /// What was offered.
    pub value: u64,
}

/// A moment by the clock of the nexus, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl From<Timestamp> for Score {
    fn from(at: Timestamp) -> Self {
        Self::saturating(at.0)
    }
}
