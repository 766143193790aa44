//! Jobs per second, and where their processor time goes, beside the floor and `xargs`.
//!
//! Each round runs all three one after the other, HiveForge with an empty database. Its time is from the first submit to
//! the last finish on record; every submit and every finish is on the disk before it is acknowledged.

use std::time::{Duration, Instant};

use crate::floor::{self, Took};
use crate::report::{Row, Section, Target};
use crate::sample::Sample;
use crate::system::{Coordinator, SLOTS, Setup};

/// Jobs before the measurement: they enrol the agent, fill caches, and teach it how short its jobs are.
pub(crate) const WARM_UP: usize = 200;
/// To reach.
const RATE_OF_FLOOR: f64 = 0.75;
/// To reach where finishes come in groups of eight or more, as they do when jobs are this short.
const COORDINATOR_US_MAX: f64 = 100.0;

/// What one round of HiveForge took.
struct Round {
    wall: Duration,
    coordinator: Duration,
    agent: Duration,
    children: Duration,
    group: f64,
}

pub(crate) async fn measure(setup: &Setup, rounds: usize, jobs: usize) -> anyhow::Result<Section> {
    let (mut floors, mut xargs, mut hives) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        floors.push(floor::tight_loop(jobs)?);
        hives.push(round(setup, jobs).await?);
        xargs.push(floor::xargs(jobs)?);
    }
    let what = format!("{jobs} jobs of /bin/true, {SLOTS} at once, {rounds} rounds");
    Ok(Section {
        name: "throughput",
        what,
        rows: rows(&floors, &xargs, &hives, jobs),
    })
}

async fn round(setup: &Setup, jobs: usize) -> anyhow::Result<Round> {
    let coordinator = Coordinator::start(setup).await?;
    let agent = coordinator.start_agent(setup)?;
    coordinator.submit(WARM_UP).await?;
    coordinator.finished(WARM_UP as u64).await?;
    let requests = coordinator.counter("finish_requests").await?;
    let (before, agent_before) = (coordinator.cpu()?, agent.cpu()?);
    let started_at = Instant::now();
    coordinator.submit(jobs).await?;
    coordinator.finished((WARM_UP + jobs) as u64).await?;
    let wall = started_at.elapsed();
    let used = agent.cpu()?.since(agent_before);
    let round = Round {
        wall,
        coordinator: coordinator.cpu()? - before,
        agent: used.own,
        children: used.children,
        group: jobs as f64 / (coordinator.counter("finish_requests").await? - requests) as f64,
    };
    agent.stop().await?;
    coordinator.stop().await?;
    Ok(round)
}

fn rows(floors: &[Took], xargs: &[Took], hives: &[Round], jobs: usize) -> Vec<Row> {
    let rate = |wall: Duration| jobs as f64 / wall.as_secs_f64();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / jobs as f64;
    let all = |round: &Round| round.coordinator + round.agent + round.children;
    let of_hives = |figure: &dyn Fn(&Round) -> f64| Sample::new(hives.iter().map(figure));
    let beside_floor = |figure: &dyn Fn(&Round, &Took) -> f64| {
        Sample::new(hives.iter().zip(floors).map(|(hive, floor)| figure(hive, floor)))
    };
    let ratio = beside_floor(&|hive, floor| rate(hive.wall) / rate(floor.wall));
    let more = beside_floor(&|hive, floor| each(all(hive)) / each(floor.cpu));
    vec![
        Row::yields(
            "posix_spawn in a tight loop, 2 threads (the floor)",
            "jobs/s",
            of(floors, &|took| rate(took.wall)),
        ),
        Row::yields("xargs -P2 -n1", "jobs/s", of(xargs, &|took| rate(took.wall))),
        Row::yields("HiveForge", "jobs/s", of_hives(&|round| rate(round.wall))),
        Row::yields("HiveForge, of the floor of the same round", "x", ratio)
            .target(Target::AtLeast(RATE_OF_FLOOR)),
        Row::cost(
            "CPU of a job: the floor",
            "us",
            of(floors, &|took| each(took.cpu)),
        ),
        Row::cost("CPU of a job: xargs", "us", of(xargs, &|took| each(took.cpu))),
        Row::cost(
            "CPU of a job: HiveForge in all",
            "us",
            of_hives(&|round| each(all(round))),
        ),
        Row::cost(
            "  the coordinator, submit included",
            "us",
            of_hives(&|round| each(round.coordinator)),
        )
        .target(Target::AtMost(COORDINATOR_US_MAX)),
        Row::cost("  the agent itself", "us", of_hives(&|round| each(round.agent))),
        Row::cost(
            "  the agent's children: the command",
            "us",
            of_hives(&|round| each(round.children)),
        ),
        Row::cost(
            "CPU of a job: HiveForge, of the floor of the same round",
            "x",
            more,
        ),
        Row::yields(
            "finishes in one request, on average",
            "jobs",
            of_hives(&|round| round.group),
        ),
    ]
}

fn of(tooks: &[Took], figure: &dyn Fn(&Took) -> f64) -> Sample {
    Sample::new(tooks.iter().map(figure))
}
