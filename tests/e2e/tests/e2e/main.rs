//! The shipped program, end to end: real processes, real files, real signals.
//!
//! Each test has a system of its own, and ends with `finish`, which stops it in order, looks for anything left over and
//! checks its books. `run` and `commands` are about the command line, `roles` about several processes as one system,
//! `ending`, `shutdown` and the `*_death` modules about how they end, `escalation` about how they give up (by faults on
//! purpose, which a release does not have), `fence` about an agent that was away, `fleet` about several coordinators over
//! Redis, `mesh` about the link between them, `full_disk` and `bad_input` about what a system must survive, `tracing`
//! about how processes are made.

mod agent_death;
mod bad_input;
mod commands;
mod coordinator_death;
mod ending;
#[cfg(debug_assertions)]
mod escalation;
mod fence;
mod fleet;
mod full_disk;
mod mesh;
#[path = "../../../../crates/executor/tests/support/process_calls.rs"]
mod process_calls;
mod roles;
mod run;
mod shutdown;
mod shutdown_load;
mod tracing;
