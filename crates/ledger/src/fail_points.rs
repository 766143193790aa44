//! Where tests may break the ledger off. Nothing is there without the feature `faults`.

/// Jobs were taken out of their lanes and are held; no lease is committed yet.
pub const TAKEN: &str = "ledger::taken";
