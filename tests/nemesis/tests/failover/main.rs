//! What a failover of Redis costs a whole system: coordinators, Redis and Sentinels are real processes, agents are real, and
//! only what they run is scripted.
//!
//! `sentinel` is the worst day that the Sentinel arrangement promises to survive without a loss. `forgotten` is a day that
//! it does not: the new primary has never heard of what was claimed and finished, and the agents tell it.

mod clients;
mod coordinators;
mod crew;
mod forgotten;
mod sentinel;
mod verdict;

/// A whole number from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is {text:?}: give a whole number")),
    )
}
