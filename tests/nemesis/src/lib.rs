//! A whole system under attack, and a checker of its promises.
//!
//! Several coordinators, many agents and a real Redis behind proxies run as processes of their own ([`hive`]), with
//! people who submit, cancel and look ([`load`]). A seeded plan ([`schedule`]) strikes at all of them ([`strike`]); then
//! everything is repaired and must come to its end ([`campaign`]). What was seen from all sides is one [`history`], and
//! [`checker`] judges it by the table of [`promises`].

pub mod books;
pub mod campaign;
pub mod checker;
pub mod clients;
pub mod dice;
pub mod history;
pub mod hive;
pub mod load;
pub mod plan;
mod process;
pub mod promises;
pub mod report;
pub mod run_log;
pub mod scene;
pub mod schedule;
pub mod stage;
pub mod stall;
pub mod strike;
pub mod wait;
pub mod witness;
