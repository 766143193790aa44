//! The benchmark: what a job costs on this machine, beside the least that it can cost there.
//!
//! It starts the shipped binary, a coordinator and an agent as processes of their own with their files on a real disk,
//! drives them through the public API, and reads what they used from `/proc`. Ways that are compared are interleaved
//! round by round in one run, so that a noisy machine is noisy to all of them. One file for each section; `report`
//! says what a row is. `docs/performance.md` says how to read the table.

mod files;
mod fleet;
mod floor;
mod groups;
mod hive;
mod latency;
mod lifecycle;
mod parked;
mod queue;
mod raw;
mod report;
mod sample;
mod sim;
mod spawn;
mod store;
mod system;
mod throughput;
mod usage;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand, ValueEnum};

use crate::report::Report;
use crate::store::Appending;
use crate::system::Setup;

/// Measures the rate, the latency and the cost of jobs.
#[derive(Parser)]
struct Options {
    /// Show that it works, with figures that mean nothing: few jobs, one round
    #[arg(long, env = "HIVEFORGE_BENCH_QUICK", value_parser = FalseyValueParser::new())]
    quick: bool,
    /// Measure this alone; repeatable
    #[arg(long, value_enum, value_name = "SECTION")]
    only: Vec<Part>,
    /// The program to measure [default: `hiveforge` beside this one]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    #[command(subcommand)]
    other: Option<Other>,
}

/// What can be done instead of measuring the sections.
#[derive(Subcommand)]
enum Other {
    /// Drive many simulated agents and jobs through real coordinators
    Sim(sim::Options),
}

/// The sections, in the order in which they are measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Throughput,
    Groups,
    Latency,
    Queue,
    Lifecycle,
    Parked,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Scale {
    rounds: usize,
    /// Jobs of one round of throughput.
    jobs: usize,
    /// Single jobs, one after the other.
    singles: usize,
    /// Jobs for each size of a group.
    grouped: usize,
    /// Jobs that are queued and stay so.
    queued: usize,
    /// Jobs of each way through Redis.
    lifecycles: usize,
    /// Single jobs for parked agents.
    awaited: usize,
}

const FULL: Scale = Scale {
    rounds: 3,
    jobs: 5_000,
    singles: 200,
    grouped: 2_000,
    queued: 100_000,
    lifecycles: 10_000,
    awaited: 1_000,
};
const QUICK: Scale = Scale {
    rounds: 1,
    jobs: 500,
    singles: 10,
    grouped: 128,
    queued: 5_000,
    lifecycles: 640,
    awaited: 50,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let scale = if options.quick { QUICK } else { FULL };
    let here = std::env::current_exe().context("the own path")?;
    let profile = here.parent().context("the directory of the own program")?;
    let program = options.program.unwrap_or_else(|| profile.join("hiveforge"));
    ensure!(
        program.is_file(),
        "{} is missing: `cargo build --release -p hiveforge-cli`",
        program.display()
    );
    let target = profile.parent().context("the target directory")?;
    let setup = Setup {
        program,
        directory: target.join("tmp"),
    };
    let results = target.join(if options.quick { "bench/quick" } else { "bench" });
    let report = Report::new(results)?;
    report.head()?;
    if let Some(Other::Sim(options)) = &options.other {
        return report.section(&sim::run(options, &setup).await?);
    }
    for part in Part::value_variants() {
        if options.only.is_empty() || options.only.contains(part) {
            measure(*part, &setup, scale, &report).await?;
        }
    }
    report.foot();
    Ok(())
}

/// Measures a section and reports it; the one that is measured for each kind of persistence reports each.
async fn measure(part: Part, setup: &Setup, scale: Scale, report: &Report) -> anyhow::Result<()> {
    let section = match part {
        Part::Throughput => throughput::measure(setup, scale.rounds, scale.jobs).await?,
        Part::Groups => groups::measure(setup, scale.rounds, scale.grouped).await?,
        Part::Latency => latency::measure(setup, scale.singles).await?,
        Part::Queue => queue::measure(setup, scale.queued).await?,
        Part::Parked => parked::measure(setup, scale.awaited).await?,
        Part::Lifecycle => {
            for appending in Appending::ALL {
                report
                    .section(&lifecycle::measure(setup, appending, scale.rounds, scale.lifecycles).await?)?;
            }
            return Ok(());
        }
    };
    report.section(&section)
}

/// Bytes of a file; none if there is no such file.
fn file_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
