//! Requests, replies and views on the wire: HTTP with JSON under `/v1`.
//!
//! Requests are strict (unknown fields are refused), replies and views are explicit structs that are never derived
//! from a stored record, so no token and no bookkeeping can leak. Readers of replies ignore fields they do not know,
//! so a coordinator may be newer than an agent. With feature `client` there is a typed HTTP client.
//!
//! It holds no rules (`domain`) and no server (`coordinator`).

pub mod agents;
#[cfg(feature = "faults")]
pub mod chaos;
pub mod frame;
pub mod jobs;
pub mod leases;
pub mod limits;
pub mod observer;
pub mod problem;
pub mod token;

#[cfg(feature = "client")]
pub mod client;

pub use problem::Problem;
pub use token::LeaseToken;
