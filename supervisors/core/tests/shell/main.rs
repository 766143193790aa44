//! The shell against real actors, in paused time: what the rules say is what happens.
//!
//! Each case starts a tree of `Probe`s, which write their starts and stops into one log, and does something to them.
//! The rules themselves are checked in `src/policy/`; here it is order, time, messages and what is left behind.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, and the lint knows only functions marked as such"
)]

mod abandoned;
mod backoff;
mod ctx;
mod deadlines;
mod directory;
mod dynamic;
mod events;
mod failing;
#[cfg(feature = "faults")]
mod faults;
mod handles;
mod late;
#[cfg(feature = "faults")]
mod lockstep;
mod nested;
mod overlap;
mod probe;
mod random;
mod requests;
#[path = "../../src/policy/tests/seed.rs"]
mod seed;
mod stopping;
mod strategies;
