//! From a history to what is wrong in it: pure functions, so that the checker itself can be tested.
//!
//! Each check looks for one way in which a promise can be broken and says it with its evidence. What is excused, and for
//! which reason, stands beside the check: a hit of the campaign, or a time in which this machine did not run us.

mod calls;
mod journal;
mod leases;
mod runs;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::history::History;
use crate::promises;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise's code.
    pub promise: &'static str,
    /// What shows it.
    pub evidence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let says = promises::of(self.promise).says;
        write!(f, "{} ({says}): {}", self.promise, self.evidence)
    }
}

/// What the checks have found so far.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, promise: &'static str, evidence: impl Into<String>) {
        self.0.push(Violation {
            promise,
            evidence: evidence.into(),
        });
    }
}

/// Everything that is wrong; empty when all promises were kept.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Found::default();
    let checks = [
        calls::acknowledged,
        calls::keys,
        calls::refusals,
        journal::transitions,
        journal::attempts,
        journal::seen_attempts,
        journal::ends,
        journal::trails,
        journal::cancels,
        journal::requirements,
        journal::groups,
        runs::logs,
        runs::own_ends,
        runs::starts,
        runs::overlaps,
        runs::left_over,
        leases::charges,
        leases::losses,
        leases::drained,
        leases::wakes,
        fsck,
    ];
    for check in checks {
        check(history, &mut found);
    }
    found.0
}

fn fsck(history: &History, found: &mut Found) {
    for finding in &history.findings {
        found.add("I19", finding);
    }
}
