//! The simulation: thousands of parked agents and a million jobs, through real coordinators and a real Redis.
//!
//! Nothing is executed: an agent reports a lease as done as soon as it has it, or after `--hold`. So it shows what the
//! control plane carries, and what a job costs each part of it.

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use domain::Span;

use crate::files;
use crate::fleet::{Crew, Fleet, Load, Pace};
use crate::hive::Hive;
use crate::report::{Row, Section};
use crate::sample::Sample;
use crate::store::{Appending, Store, Work};
use crate::system::Setup;
use crate::usage::Cpu;

/// Jobs before the measurement, for each slot of the fleet at most one.
const WARM_UP_MAX: usize = 1_000;

/// How large, and how fast.
#[derive(Args)]
pub(crate) struct Options {
    /// Agents, each with a connection and a parked claim
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    agents: usize,
    /// Jobs to submit and work off
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    jobs: usize,
    /// Coordinators, which share the nexus
    #[arg(long, default_value_t = 3, value_name = "N")]
    coordinators: usize,
    /// Also park the second request of an agent, by which it is seen and hears news of its leases: twice the connections
    #[arg(long)]
    sessions: bool,
    /// Slots of each agent: the most jobs that it claims and reports in one request
    #[arg(long, default_value_t = 10, value_name = "N")]
    slots: usize,
    /// Jobs of one submit
    #[arg(long, default_value_t = 100, value_name = "N")]
    batch: usize,
    /// Submits that may be under way at the same time
    #[arg(long, default_value_t = 3, value_name = "N")]
    submitters: usize,
    /// Submit as long as no more than so many jobs are unfinished
    #[arg(long, default_value_t = 3_000, value_name = "N", conflicts_with = "rate")]
    window: usize,
    /// Submit so many jobs a second, by the clock
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// When Redis syncs its append-only file
    #[arg(long, value_enum, default_value = "everysec", value_name = "WHEN")]
    appendonly: Appending,
    /// How long all agents are only parked before the first job, to see what that costs
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    idle: Span,
    /// How long an agent holds its leases, which it renews meanwhile
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    hold: Span,
}

/// What parked agents use of a core, while there is no job.
struct Idle {
    redis: f64,
    coordinators: f64,
}

/// What the run used, apart from the latencies.
struct Took {
    /// Before it; nothing when no time was given for it.
    idle: Option<Idle>,
    wall: Duration,
    /// Of Redis, for each job.
    redis: Work,
    coordinators: Duration,
    fleet: Duration,
    resident: u64,
}

impl Options {
    fn check(&self) -> anyhow::Result<()> {
        for (name, value) in [
            ("agents", self.agents),
            ("jobs", self.jobs),
            ("coordinators", self.coordinators),
            ("slots", self.slots),
            ("batch", self.batch),
            ("submitters", self.submitters),
        ] {
            ensure!(value > 0, "--{name} 0: give at least 1");
        }
        ensure!(
            self.window >= self.batch,
            "--window {}: with batches of {} nothing could be submitted; give at least that",
            self.window,
            self.batch
        );
        ensure!(
            self.rate.is_none_or(|rate| rate.is_finite() && rate > 0.0),
            "--rate {}: give a positive number",
            self.rate.unwrap_or_default()
        );
        files::make_room(self.crew().connections() + self.submitters, self.coordinators)
    }

    const fn crew(&self) -> Crew {
        Crew {
            agents: self.agents,
            slots: self.slots,
            hold: self.hold.duration(),
            has_sessions: self.sessions,
        }
    }

    fn load(&self, jobs: usize) -> Load {
        let pace = match self.rate {
            Some(jobs_per_second) => Pace::Rate(jobs_per_second / self.batch as f64),
            None => Pace::Window(self.window),
        };
        Load {
            jobs,
            batch: self.batch,
            pace,
            submitters: self.submitters,
        }
    }
}

pub(crate) async fn run(options: &Options, setup: &Setup) -> anyhow::Result<Section> {
    options.check()?;
    let store = Store::start(options.appendonly)?;
    let hive = Hive::start(setup, Some(&store.url()), options.coordinators).await?;
    let started_at = Instant::now();
    let mut fleet = Fleet::start(hive.doors(), options.crew(), options.jobs).await?;
    println!(
        "{} agents have parked after {:.1?}",
        options.agents,
        started_at.elapsed()
    );
    let idle = match options.idle.duration() {
        Duration::ZERO => None,
        time => Some(rest(time, &store, &hive).await?),
    };
    let warm_up = WARM_UP_MAX.min(options.agents * options.slots).min(options.jobs);
    fleet.work_off(options.load(warm_up)).await?;
    let (before, used) = (store.work()?, hive.cpu()?.iter().sum::<Duration>());
    let own = Cpu::of_this_process()?.own;
    let wall = fleet.work_off(options.load(options.jobs)).await?;
    let took = Took {
        idle,
        wall,
        redis: store.work()?.each_since(&before, options.jobs),
        coordinators: hive.cpu()?.iter().sum::<Duration>() - used,
        fleet: Cpu::of_this_process()?.own - own,
        resident: hive.resident_bytes()?,
    };
    let rows = rows(options, &fleet, &took)?;
    drop(fleet);
    hive.stop().await?;
    let what = format!(
        "{} jobs, {} agents with {} slots, {} coordinators, submits of {}, appendonly {}",
        options.jobs,
        options.agents,
        options.slots,
        options.coordinators,
        options.batch,
        options.appendonly.word()
    );
    Ok(Section {
        name: "sim",
        what,
        rows,
    })
}

/// Lets everybody wait for so long.
async fn rest(time: Duration, store: &Store, hive: &Hive) -> anyhow::Result<Idle> {
    let (redis, used) = (store.work()?, hive.cpu()?.iter().sum::<Duration>());
    tokio::time::sleep(time).await;
    let of_a_core = |used: Duration| used.as_secs_f64() / time.as_secs_f64();
    Ok(Idle {
        redis: of_a_core(Duration::from_secs_f64(
            (store.work()?.cpu_us - redis.cpu_us) / 1e6,
        )),
        coordinators: of_a_core(hive.cpu()?.iter().sum::<Duration>() - used),
    })
}

fn rows(options: &Options, fleet: &Fleet, took: &Took) -> anyhow::Result<Vec<Row>> {
    let (tally, jobs) = (fleet.tally(), options.jobs as f64);
    let waited = tally.waited_ms();
    ensure!(
        waited.len() == options.jobs,
        "{} of {} jobs were claimed by an agent of this fleet",
        waited.len(),
        options.jobs
    );
    let each = |time: Duration| Sample::one(time.as_secs_f64() * 1e6 / jobs);
    let redis = |what, unit, figure| Row::cost(what, unit, Sample::one(figure));
    let mut rows = vec![Row::yields(
        "jobs submitted, claimed and finished",
        "jobs/s",
        Sample::one(jobs / took.wall.as_secs_f64()),
    )];
    rows.extend(latencies(waited));
    rows.extend([
        Row::cost("CPU of a job: all coordinators", "us", each(took.coordinators)),
        Row::cost("CPU of a job: the simulated agents", "us", each(took.fleet)),
        redis("CPU of a job: Redis", "us", took.redis.cpu_us),
        redis(
            "memory of Redis for a finished job",
            "bytes",
            took.redis.memory_bytes,
        ),
        redis("append-only file for a job", "bytes", took.redis.appended_bytes),
        redis("to and from Redis for a job", "bytes", took.redis.net_bytes),
        redis("scripts for a job", "", took.redis.scripts),
        redis(
            "commands for a job, those of scripts included",
            "",
            took.redis.commands,
        ),
        redis("  of that, commands that write", "", took.redis.writes),
        redis("  of that, hints", "", took.redis.hints),
        Row::cost(
            "memory of all coordinators at the end",
            "MB",
            Sample::one(took.resident as f64 / 1e6),
        ),
        Row::yields(
            "jobs of one finish request, on average",
            "jobs",
            Sample::one(tally.group()),
        ),
        Row::cost(
            "renewed leases for a job",
            "",
            Sample::one(tally.renewals() as f64 / jobs),
        ),
        Row::cost(
            "jobs that were given out twice",
            "jobs",
            Sample::one(tally.repeated() as f64),
        ),
    ]);
    if let Some(idle) = &took.idle {
        let all = |what, part| Row::cost(what, "%", Sample::one(part * 100.0));
        rows.push(all("Redis while all agents were parked, of a core", idle.redis));
        rows.push(all(
            "all coordinators while all agents were parked, of a core",
            idle.coordinators,
        ));
    }
    Ok(rows)
}

/// How long jobs waited, from their submit to their agent.
fn latencies(waited_ms: Vec<f64>) -> Vec<Row> {
    let parts = [0.5, 0.9, 0.99, 0.999, 1.0];
    let figures = Sample::new(waited_ms).quantiles(parts);
    let row = |(what, figure)| {
        let what = format!("submit to lease in the agent's hand, {what}");
        Row::cost(what, "ms", Sample::one(figure))
    };
    let names = ["p50", "p90", "p99", "p99.9", "longest"];
    names.into_iter().zip(figures).map(row).collect()
}
