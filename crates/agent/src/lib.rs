//! The agent: pulls leases from coordinators, runs them by an executor, reports how they ended.
//!
//! The one idea: actors decide nothing that they could forget. What is held and how far it has come is in the run table
//! ([`table`]), which outlives every actor; an actor looks there for what to do, does it, and writes down that it did. So
//! any of them may die at any moment and no run ends by it. Start reading at [`table`], then [`execution`].
//!
//! Which actor restarts with which is not here but in `supervisors/agent`.

pub mod config;
pub mod ending;
pub mod execution;
pub mod fail_points;
pub mod fingerprint;
pub mod history;
pub mod leftovers;
pub mod lifeline;
pub mod marshal;
pub mod poller;
pub mod reporter;
pub mod run;
pub mod session;
pub mod ship;
pub mod shipper;
pub mod station;
pub mod table;

mod announce;
mod artifacts;
mod backoff;
mod blocking;
mod claim;
mod clock;
mod era;
mod fence;
mod footprint;
mod refusal;
mod site;
mod spool;
mod workplace;

pub use config::{Config, ConfigError};
pub use station::{Connection, OpenError, Station};
pub use table::Stop;
