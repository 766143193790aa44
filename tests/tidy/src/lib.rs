//! The rules about the source tree that no compiler checks.
//!
//! A rule is a function from the [`Tree`] to its violations, each with the place and the way out. The rules read text
//! as rustfmt leaves it: crude, but plain, and wrong by a line at most. `tests/tidy.rs` runs them over the repository;
//! beside each rule a test shows that it can fail.

use std::fmt::{self, Write as _};

pub mod abort;
pub mod forgotten;
pub mod header;
pub mod home;
pub mod layers;
pub mod lints;
pub mod packages;
mod rust;
pub mod size;
pub mod spawn;
mod tree;
pub mod unfinished;

pub use packages::Package;
pub use tree::{Source, Tree};

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Relative to the root of the repository.
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
    /// What to do about it.
    pub way_out: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}\n    {}",
            self.path, self.line, self.problem, self.way_out
        )
    }
}

/// Panics with all of the violations, if there are any.
#[track_caller]
pub fn assert_tidy(violations: &[Violation]) {
    let mut report = String::new();
    for violation in violations {
        writeln!(report, "{violation}").expect("a string takes everything");
    }
    assert!(
        violations.is_empty(),
        "{} violations\n\n{report}",
        violations.len()
    );
}

/// Where the violations are, as `path:line`: what the test of a rule compares.
#[cfg(test)]
fn places(violations: &[Violation]) -> Vec<String> {
    violations
        .iter()
        .map(|violation| format!("{}:{}", violation.path, violation.line))
        .collect()
}
