//! The HTTP API over a whole coordinator: real tree, real socket, a nexus in memory and a scripted agent.
//!
//! Each test has a coordinator of its own on a free port. People and agents talk to it with the protocol's client, and
//! with raw requests where the client would not send what is sent. What is a rule of jobs is tested in the domain and the
//! ledger; here it is what goes over the wire, and what waits, wakes and survives.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, and the lint knows only functions marked as such"
)]

mod access;
mod agent;
mod blobs;
mod cancel;
#[cfg(feature = "faults")]
mod chaos;
mod claims;
mod crashes;
mod document;
mod finish;
mod fleet;
mod follow;
mod fragile;
mod jobs;
mod leaving;
mod logs;
mod observer;
mod outage;
mod output;
mod problems;
mod quarantine;
mod reaper;
mod renew;
mod several;
mod sizes;
mod submit;
mod tour;
mod undelivered;
mod waiting;
mod wire;
mod world;
