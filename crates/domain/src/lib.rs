//! The rules of HiveForge: what a job is, what may happen to it, who may run it, and when it is tried again.
//!
//! Everything here is a pure function of its arguments. There is no clock, no randomness, no IO and no async: time
//! arrives as a [`Timestamp`], and whoever calls decides what to do with the answer. Start reading at [`job`], whose
//! `apply` is the whole behaviour of the product, then [`matching`] for who may run what.
//!
//! It does not know how state is stored (`ledger`), how it travels (`protocol`) or how a command runs (`executor`).
#![deny(clippy::wildcard_enum_match_arm, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests may stop at a surprise"
    )
)]

pub mod agent;
pub mod cause;
pub mod digest;
pub mod entity;
pub mod id;
pub mod job;
pub mod lane;
pub mod matching;
pub mod plan;
pub mod requirement;
pub mod resources;
pub mod spec;
pub mod time;
pub mod units;

pub use agent::{AgentRef, Offer};
pub use cause::Cause;
pub use digest::Digest;
pub use entity::{Entity, Followup, Move, Place, Places, Step};
pub use id::{AgentId, AgentName, GroupName, JobId, PoolName, Principal};
pub use job::{Job, JobEvent, JobFact, ProvenLease, Refused, State};
pub use lane::Lane;
pub use matching::{Unmet, unmet};
pub use requirement::Constraint;
pub use resources::Resources;
pub use spec::{JobSpec, SpecError};
pub use time::Timestamp;
pub use units::{ByteSize, Span};
