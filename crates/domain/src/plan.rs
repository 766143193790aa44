//! The decisions of the coordinator's duties, as pure functions: what to ask of the lanes, when to take a lease.
//!
//! The actors read the nexus, call these, and commit what comes back. The model checker drives the same functions.

mod claim;
mod reap;

pub use self::claim::{AHEAD_MAX, Ahead, LaneDemand, Seeker, plan_claim};
pub use self::reap::{BACKSTOP, BEAT_GAP_MAX, Beat, ReapPlan, beat_gap, has_overrun, plan_beat, reap_every};
