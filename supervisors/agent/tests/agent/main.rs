//! The whole agent against a coordinator that keeps its promises and breaks them on request.

mod coordinator;
mod ending;
mod harness;
mod leases;
mod outputs;
mod tree;
