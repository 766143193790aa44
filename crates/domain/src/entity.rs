//! What every stateful thing has in common: it moves in steps, and it stands in places.
//!
//! A *place* is one entry of an ordered set. All places of a value follow from the value alone, so the ledger commits
//! the difference between before and after, and `fsck` can compare all values with all sets. What must follow in
//! *other* entities is a [`Followup`], written by the same commit and done later by an idempotent duty.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::id::GroupName;
use crate::job::Attempt;

/// Greatest score of an ordered set, on every backend: scores stay exact as a double.
pub const SCORE_MAX: u64 = (1 << 53) - 1;

/// Set name and member, to the score at which the value stands there.
pub type Places = BTreeMap<(String, String), Place>;

/// Where in a set a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// At exactly this score.
    At(u64),
    /// Somewhere: the score is not the value's own. A lease's deadline moves with each renewal and is no part of the
    /// job; it starts where the commit that makes the lease puts it.
    Somewhere,
}

/// A value with a history, kept by the ledger.
pub trait Entity: Clone + Debug + Eq {
    /// What the journal says of one change.
    type Fact: Clone + Debug + Eq;

    /// Every ordered-set entry of this value.
    fn places(&self) -> Places;
}

/// The outcome of an accepted event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<E: Entity> {
    /// The value changed; all of this is committed at once.
    Moved(Box<Move<E>>),
    /// A replay of what was done before: nothing is committed, and the answer is the first one's.
    Same,
}

/// A change of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move<E: Entity> {
    /// The value after the change.
    pub next: E,
    /// Exactly one fact for the journal.
    pub fact: E::Fact,
    /// What must follow elsewhere.
    pub followups: Vec<Followup>,
    /// The attempt that this change ended while the job goes on; it is kept beside the job.
    pub ended: Option<Attempt>,
}

/// A duty towards another entity. Doing it twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Followup {
    /// The group may have room: admit its oldest waiting job.
    AdmitFromGroup(GroupName),
}

/// The ordered set in which follow-ups wait.
pub const FOLLOWUPS: &str = "followups";

impl Followup {
    /// The member that stands for this duty in the set of follow-ups.
    pub fn member(&self) -> String {
        match self {
            Self::AdmitFromGroup(group) => format!("group/{group}"),
        }
    }

    /// The duty that a member stands for.
    pub fn of_member(member: &str) -> Option<Self> {
        member
            .strip_prefix("group/")
            .and_then(|group| group.parse().ok())
            .map(Self::AdmitFromGroup)
    }
}
