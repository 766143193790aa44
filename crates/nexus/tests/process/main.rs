//! What the SQLite backend does to and for whole processes: kills at random moments, two owners of one file, a full disk
//! and a disk that fails.
//!
//! The other process is this test binary again, run for one of its ignored tests.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod broken_disk;
mod child;
mod crash;
mod files;
mod full_disk;
mod history;
