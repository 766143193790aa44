//! What only Redis does: it forgets scripts, runs out of memory, loses replies, has replicas, asks for passwords.
//!
//! Each test starts real servers of its own, or is skipped (with the reason) where no Redis is installed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod access;
mod memory;
mod outcome;
mod replication;
mod scripts;
mod servers_change;
mod world;
