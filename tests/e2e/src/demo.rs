//! The demo: what HiveForge is for, shown on one machine with real work, and checked on the way.
//!
//! One system for all four parts. Each returns an error at the first thing that is not as it should be, and the demo
//! then ends with it.

mod build;
mod death;
mod endings;
mod page;
mod study;

use std::time::Instant;

use anyhow::Result;

use crate::{Kind, System};

use self::page::{part, say};

/// Runs all parts on a system of their own and cleans up.
///
/// # Errors
/// Something went otherwise than HiveForge promises; the system's logs stay, and where is printed.
pub fn run() -> Result<()> {
    let began_at = Instant::now();
    let mut system = part(
        "Starting: a coordinator, an agent and an embedded store in one process",
        || {
            let mut system = System::start(Kind::Up, &[])?;
            say(&format!(
                "hiveforge up  (process {}, {})",
                system.coordinator()?.pid(),
                system.url()
            ));
            Ok(system)
        },
    )?;
    part(
        "A. A real build: a C program in several files is compiled and tested",
        || build::run(&system),
    )?;
    part("B. A parameter study: 200 simulations in one batch", || {
        study::run(&system)
    })?;
    part("C. Jobs that do not succeed, each with its cause", || {
        endings::run(&system)
    })?;
    part("D. An agent is killed in the middle of a job", || {
        death::run(&mut system)
    })?;
    part("Stopping, and checking the books", || {
        let books = system.finish()?;
        books.all_ended_once()?;
        say(&format!(
            "{} jobs: each ended once, every place and every chain of facts is right",
            books.jobs()
        ));
        Ok(())
    })?;
    println!("\nAll as promised, in {:.1} s.", began_at.elapsed().as_secs_f64());
    Ok(())
}
