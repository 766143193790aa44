//! The ledger over the nexus in memory, tested from outside: one module for each group of public methods.
//!
//! `pool` is a pool with a clock that tests set, and [`pool::Pool::check`], which every test ends with: it has fsck
//! look at everything. `faulty` is the nexus beneath: it loses replies, tears batches, and lets others be faster.
//! `random` runs all operations in random order with crashes between; its seed is printed, and kept when it fails.
#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise")]

extern crate hiveforge_ledger as ledger;

mod acts;
mod agents;
mod apply;
mod chain;
mod claim;
mod damage;
mod faulty;
mod finish;
mod group;
mod log;
mod poison;
mod pool;
mod quarantine;
mod query;
mod random;
mod readopt;
mod reap;
mod renew;
mod submit;
mod told;
mod unknown_fields;
