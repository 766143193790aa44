//! Demands: pop the first members of some sets and hold them for a moment, in one atomic step.
//!
//! What is taken moves into the set of the hold, at the score until which it is held. So nothing is lost if the taker
//! dies: whoever reads the hold set in score order finds what was never picked up.

use crate::{Member, Record, Score, Set};

/// Who is wanted, how many, and where they wait meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Demand {
    /// Where to take from, all different and none the set of the hold. Merged by (score, member, set).
    pub sets: Vec<Set>,
    /// How many members at most.
    pub n: usize,
    /// No member above this score.
    pub up_to: Score,
    /// Where the taken wait.
    pub hold: Hold,
    /// Key prefixes: for each member the records with the keys prefix + member are returned along.
    pub with: Vec<String>,
}

/// The place of those that were taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The set they move to.
    pub set: Set,
    /// Their score there.
    pub until: Score,
}

/// One member that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Taken {
    /// The set it was taken from.
    pub set: Set,
    /// Who it is.
    pub member: Member,
    /// The score it had there.
    pub score: Score,
    /// One for each prefix of [`Demand::with`], in that order.
    pub records: Vec<Option<Record>>,
}
