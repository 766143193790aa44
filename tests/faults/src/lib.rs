//! The fault matrix: every actor of every tree, against every fault.
//!
//! The list of actors comes from the trees themselves, and [`treatment`] says for each what can go wrong with it; an actor
//! without a treatment fails the test. Each [`cell`] is a world of its own ([`world`]): a coordinator and an agent over
//! loopback, with real processes and the store that users have. While jobs run and others wait, one actor is hurt; then
//! everything must come to its end as if nothing had happened ([`evidence`]).

pub mod cell;
pub mod column;
pub mod evidence;
pub mod jobs;
pub mod matrix;
pub mod nexus;
pub mod people;
pub mod proxy;
pub mod scenario;
pub mod stuck;
pub mod toll;
pub mod treatment;
pub mod wait;
pub mod world;
