//! The whole agent against a coordinator that keeps its promises and breaks them on request.
#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod coordinator;
mod ending;
mod era;
mod escalation;
mod harness;
mod leases;
mod outage;
mod outputs;
mod several;
mod tree;
