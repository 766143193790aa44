//! Where tests may break a coordinator off: between a commit and the word of it. Nothing is there without the feature
//! `faults`.

/// Jobs are committed; whoever submitted them has not heard of it.
pub const SUBMITTED: &str = "coordinator::submitted";
/// Leases are committed; the agent has not heard of them.
pub const CLAIMED: &str = "coordinator::claimed";
/// Ends are committed; the agent has not heard of it.
pub const FINISHED: &str = "coordinator::finished";
/// Sabotage: nobody looks for work but when a hint or a new claim comes.
pub(crate) const NO_REPOLL: &str = "coordinator::no_repoll";
/// Sabotage: every hint of the nexus is dropped.
pub(crate) const LOSE_HINTS: &str = "coordinator::lose_hints";

/// Says whether a sabotage is on.
pub(crate) fn is_on(point: &'static str) -> bool {
    fail::fail_point!(point, |_| true);
    let _ = point;
    false
}
