//! What a queued job costs: bytes of the database, memory of the coordinator, processor time of its submit.
//!
//! A coordinator without agents takes as many jobs as there are, in batches of 1,000. Not counted: the reserve, a file of
//! fixed size beside the database that is given back to the file system when the disk is full.

use std::time::{Duration, Instant};

use crate::report::{Row, Section, Target};
use crate::sample::Sample;
use crate::system::{Coordinator, SPEC, Setup};
use crate::{file_bytes, usage};

/// To reach: 1.2 KB of database.
const DATABASE_BYTES_MAX: f64 = 1_200.0;

pub(crate) async fn measure(setup: &Setup, jobs: usize) -> anyhow::Result<Section> {
    let coordinator = Coordinator::start(setup).await?;
    // One of its kind before the measurement.
    coordinator.submit(1).await?;
    let resident = usage::resident_bytes(coordinator.pid())?;
    let (before, started_at) = (coordinator.cpu()?, Instant::now());
    coordinator.submit(jobs).await?;
    let (wall, used) = (started_at.elapsed(), coordinator.cpu()? - before);
    let grown = usage::resident_bytes(coordinator.pid())?.saturating_sub(resident);
    let database = coordinator.database();
    let running = file_bytes(&database) + file_bytes(&database.with_extension("db-wal"));
    // Its directory must live until the database was looked at.
    let directory = coordinator.stop().await?;
    let stopped = file_bytes(&directory.path().join(database.file_name().unwrap_or_default()));
    let each = |all: f64| Sample::one(all / jobs as f64);
    let what = format!("{jobs} jobs of {} bytes of spec, no agent", SPEC.len());
    let rows = vec![
        Row::yields(
            "submits, durable when acknowledged",
            "jobs/s",
            Sample::one(jobs as f64 / wall.as_secs_f64()),
        ),
        Row::cost("CPU of the coordinator for a submit", "us", each(micros(used))),
        Row::cost(
            "database of a queued job, after a stop",
            "bytes",
            each(stopped as f64),
        )
        .target(Target::AtMost(DATABASE_BYTES_MAX)),
        Row::cost(
            "database and write-ahead log, while it runs",
            "bytes",
            each(running as f64),
        ),
        Row::cost(
            "memory of the coordinator for a queued job",
            "bytes",
            each(grown as f64),
        ),
    ];
    Ok(Section {
        name: "queue",
        what,
        rows,
    })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
