//! Where tests may break an agent off: between what it did and the record of it. Nothing is there without the feature
//! `faults`.

/// A command runs, and its identity is not on the disk.
pub const STARTED: &str = "agent::started";
/// The artifacts of a run are with the coordinator, and its end is not in the table.
pub const UPLOADED: &str = "agent::uploaded";
