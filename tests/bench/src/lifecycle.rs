//! Jobs a second through one to three coordinators over Redis, beside the raw limit of that Redis, and what a job costs
//! each process.
//!
//! Submit, claim and finish by simulated agents; nothing is run. Raw limit and coordinators take turns within a round. All
//! processes share the processors of one machine, so two ratios to the raw limit are shown: of the rates, where
//! coordinators and agents take the processors from each other and from Redis, and of Redis's own time for a job, which
//! is what remains of it when Redis is what is scarce.

use std::time::Duration;

use crate::fleet::{Crew, Fleet, Load, Pace};
use crate::hive::Hive;
use crate::raw::{self, Limit, Way};
use crate::report::{Row, Section, Target};
use crate::sample::Sample;
use crate::store::{Appending, Store, Work};
use crate::system::Setup;
use crate::usage::Cpu;

/// Most coordinators that are compared.
const COORDINATORS_MAX: usize = 3;
/// Jobs of one submit, of one claim and of one finish.
const BATCH: usize = 10;
/// The same where requests are large.
const LARGE_BATCH: usize = 64;
/// Agents of the fleet.
const AGENTS: usize = 24;
/// Submits that may be under way at the same time.
const SUBMITTERS: usize = 6;
/// Jobs before the measurement.
const WARM_UP: usize = 1_000;
/// Raw lives for each job of HiveForge: they are short.
const RAW_FOR_EACH: usize = 2;
/// To reach: at least so much of the raw limit, at most so much of Redis.
const RATE_OF_RAW: f64 = 0.5;
const REDIS_US_MAX: f64 = 60.0;

/// The raw limits that were measured right before a run.
#[derive(Clone, Copy)]
struct Limits {
    one_by_one: Limit,
    together: Limit,
}

/// One run through coordinators.
struct Run {
    coordinators: usize,
    batch: usize,
    limits: Limits,
    rate: f64,
    work: Work,
    coordinators_us: f64,
    fleet_us: f64,
    group: f64,
}

/// Runs of the same kind, one of each round.
struct Alike<'a>(Vec<&'a Run>);

impl Alike<'_> {
    fn of(&self, figure: impl Fn(&Run) -> f64) -> Sample {
        Sample::new(self.0.iter().map(|run| figure(run)))
    }
}

pub(crate) async fn measure(
    setup: &Setup,
    appending: Appending,
    rounds: usize,
    jobs: usize,
) -> anyhow::Result<Section> {
    let mut runs = Vec::new();
    for _ in 0..rounds {
        let small = raw_limits(appending, BATCH, jobs).await?;
        for coordinators in 1..=COORDINATORS_MAX {
            runs.push(run(setup, appending, (coordinators, BATCH, jobs), small).await?);
        }
        let large = raw_limits(appending, LARGE_BATCH, jobs).await?;
        runs.push(run(setup, appending, (1, LARGE_BATCH, jobs), large).await?);
    }
    let mode = appending.word();
    let what = format!("appendonly {mode}, {jobs} jobs, {AGENTS} simulated agents, {rounds} rounds");
    Ok(Section {
        name: match appending {
            Appending::No => "lifecycle-no",
            Appending::Everysec => "lifecycle-everysec",
            Appending::Always => "lifecycle-always",
        },
        what,
        rows: rows(&runs),
    })
}

async fn raw_limits(appending: Appending, batch: usize, jobs: usize) -> anyhow::Result<Limits> {
    let measure = move |way| raw::measure(appending, way, (batch, jobs * RAW_FOR_EACH));
    let both = move || {
        Ok(Limits {
            one_by_one: measure(Way::OneByOne)?,
            together: measure(Way::Together)?,
        })
    };
    tokio::task::spawn_blocking(both).await?
}

async fn run(
    setup: &Setup,
    appending: Appending,
    (coordinators, batch, jobs): (usize, usize, usize),
    limits: Limits,
) -> anyhow::Result<Run> {
    let store = Store::start(appending)?;
    let hive = Hive::start(setup, Some(&store.url()), coordinators).await?;
    let crew = Crew {
        agents: AGENTS,
        slots: batch,
        hold: Duration::ZERO,
        has_sessions: true,
    };
    let mut fleet = Fleet::start(hive.doors(), crew, jobs).await?;
    let load = |jobs| Load {
        jobs,
        batch,
        // Twice what all agents can hold, so that whoever finishes finds a full batch.
        pace: Pace::Window(2 * AGENTS * batch),
        submitters: SUBMITTERS,
    };
    fleet.work_off(load(WARM_UP.min(jobs))).await?;
    let (before, used, own) = (store.work()?, hive.cpu()?, Cpu::of_this_process()?.own);
    let wall = fleet.work_off(load(jobs)).await?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / jobs as f64;
    let run = Run {
        coordinators,
        batch,
        limits,
        rate: jobs as f64 / wall.as_secs_f64(),
        work: store.work()?.each_since(&before, jobs),
        coordinators_us: each(hive.cpu()?.iter().sum::<Duration>() - used.iter().sum::<Duration>()),
        fleet_us: each(Cpu::of_this_process()?.own - own),
        group: fleet.tally().group(),
    };
    drop(fleet);
    hive.stop().await?;
    Ok(run)
}

fn rows(runs: &[Run]) -> Vec<Row> {
    let alike = |coordinators, batch| {
        let same = runs
            .iter()
            .filter(|run| (run.coordinators, run.batch) == (coordinators, batch));
        Alike(same.collect())
    };
    let mut rows = raw_rows(BATCH, &alike(1, BATCH));
    for coordinators in 1..=COORDINATORS_MAX {
        let who = format!("{BATCH} in a batch, {coordinators} of us");
        rows.extend(rows_with_targets(&who, &alike(coordinators, BATCH)));
    }
    rows.extend(raw_rows(LARGE_BATCH, &alike(1, LARGE_BATCH)));
    let who = format!("{LARGE_BATCH} in a batch, 1 of us");
    rows.extend(ratio_rows(&who, &alike(1, LARGE_BATCH)));
    rows.extend(cost_rows(&alike(1, LARGE_BATCH)));
    rows
}

fn raw_rows(batch: usize, runs: &Alike) -> Vec<Row> {
    let rows = |way: &str, limit: fn(&Run) -> Limit| {
        [
            Row::yields(
                format!("{batch} in a batch, raw limit, {way}"),
                "jobs/s",
                runs.of(|run| limit(run).rate),
            ),
            Row::cost("  CPU of Redis for a job", "us", runs.of(|run| limit(run).cpu_us)),
            Row::cost(
                "  writing commands for a job",
                "",
                runs.of(|run| limit(run).writes),
            ),
        ]
    };
    let mut both = Vec::from(rows("a command for each write", |run| run.limits.one_by_one));
    both.extend(rows("as few commands as can be", |run| run.limits.together));
    both
}

fn rows_with_targets(who: &str, runs: &Alike) -> Vec<Row> {
    let [rate, of_rate, of_time, redis] = ratio_rows(who, runs);
    let mut rows = vec![
        rate,
        of_rate.target(Target::AtLeast(RATE_OF_RAW)),
        of_time.target(Target::AtLeast(RATE_OF_RAW)),
        redis.target(Target::AtMost(REDIS_US_MAX)),
    ];
    rows.extend(cost_rows(runs));
    rows
}

fn ratio_rows(who: &str, runs: &Alike) -> [Row; 4] {
    [
        Row::yields(who, "jobs/s", runs.of(|run| run.rate)),
        Row::yields(
            "  rate, of the raw limit",
            "x",
            runs.of(|run| run.rate / run.limits.one_by_one.rate),
        ),
        Row::yields(
            "  jobs for a second of Redis, of the raw limit",
            "x",
            runs.of(|run| run.limits.one_by_one.cpu_us / run.work.cpu_us),
        ),
        Row::cost("  CPU of Redis for a job", "us", runs.of(|run| run.work.cpu_us)),
    ]
}

fn cost_rows(runs: &Alike) -> [Row; 7] {
    [
        Row::cost("  writing commands for a job", "", runs.of(|run| run.work.writes)),
        Row::cost("  scripts for a job", "", runs.of(|run| run.work.scripts)),
        Row::cost("  commands for a job", "", runs.of(|run| run.work.commands)),
        Row::cost(
            "  bytes to and from Redis for a job",
            "bytes",
            runs.of(|run| run.work.net_bytes),
        ),
        Row::cost(
            "  CPU of all coordinators for a job",
            "us",
            runs.of(|run| run.coordinators_us),
        ),
        Row::cost(
            "  CPU of the simulated agents for a job",
            "us",
            runs.of(|run| run.fleet_us),
        ),
        Row::yields(
            "  jobs of one finish request, on average",
            "jobs",
            runs.of(|run| run.group),
        ),
    ]
}
