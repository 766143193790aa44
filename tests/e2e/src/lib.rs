//! Whole systems of real processes: the harness of the end-to-end suite, and the demo.
//!
//! A [`System`] starts the shipped program in its roles, each with its own files in one temporary directory, and is used
//! as people use it: by the public API ([`Api`]) and the command line ([`Cli`]). At its end it is stopped in order and
//! its books are checked. A [`Fleet`] is the same with several coordinators over one Redis. What it started is ended by process id, however a test ends.

mod api;
mod binary;
mod books;
mod cli;
pub mod demo;
mod fleet;
mod follow;
mod jobs;
mod processes;
mod ran;
mod role;
mod system;
mod wait;

pub use self::api::Api;
pub use self::binary::{hiveforge, skips_allowed};
pub use self::books::Books;
pub use self::cli::{Cli, Finished, Interactive};
pub use self::fleet::{Fleet, Recipe as FleetRecipe};
pub use self::jobs::{batch_of, command, script};
pub use self::processes::{Found, of_attempt, of_job, within};
pub use self::ran::Ran;
pub use self::role::Role;
pub use self::system::{Kind, System};
pub use self::wait::{LIMIT, eventually, within_limit};
