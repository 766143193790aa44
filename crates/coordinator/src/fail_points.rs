//! Where tests may break a coordinator off: between a commit and the word of it. Nothing is there without the feature
//! `faults`.

/// Jobs are committed; whoever submitted them has not heard of it.
pub const SUBMITTED: &str = "coordinator::submitted";
/// Leases are committed; the agent has not heard of them.
pub const CLAIMED: &str = "coordinator::claimed";
/// Ends are committed; the agent has not heard of it.
pub const FINISHED: &str = "coordinator::finished";
