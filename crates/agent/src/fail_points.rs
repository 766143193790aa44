//! Where tests may break an agent off: between what it did and the record of it. Nothing is there without the feature
//! `faults`.

/// A command runs, and its identity is not on the disk.
pub const STARTED: &str = "agent::started";
/// No run is ever frozen, and none is too old to be started: what happens without a fence.
pub const NO_FENCE: &str = "agent::no_fence";
/// The artifacts of a run are with the coordinator, and its end is not in the table.
pub const UPLOADED: &str = "agent::uploaded";
