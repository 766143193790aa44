//! The mesh between real processes: each member is this test binary once more, told by a variable to play the part.
//!
//! The library keeps its actors in lists of the process, so two meshes in one process would see each other's.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod certificates;
mod cluster;
mod escalation;
mod member;
mod peers;
mod trust;
mod words;
