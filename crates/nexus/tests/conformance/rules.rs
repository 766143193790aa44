//! The rules, by topic.
//!
//! Each is listed in `main.rs`, which runs it for every backend; one that is not is reported as dead code.

pub(crate) mod counters;
pub(crate) mod guards;
pub(crate) mod heads;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod logs;
pub(crate) mod sets;
pub(crate) mod takes;
pub(crate) mod transactions;
