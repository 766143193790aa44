//! The shipped program, end to end: real processes, real files, real signals.
//!
//! Each test has a system of its own, and ends with `finish`, which stops it in order, looks for anything left over and
//! checks its books. `run` and `commands` are about the command line, `roles` about several processes as one system,
//! `ending` and the `*_death` modules about how they end, `fence` about an agent that was away, `full_disk` and
//! `bad_input` about what a system must survive, `tracing` about how processes are made.

mod agent_death;
mod bad_input;
mod commands;
mod coordinator_death;
mod ending;
mod fence;
mod full_disk;
#[path = "../../../../crates/executor/tests/support/process_calls.rs"]
mod process_calls;
mod roles;
mod run;
mod tracing;
