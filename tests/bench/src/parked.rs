//! How long a job waits for an agent when a thousand of them are parked: from its submit, before it is sent, until the
//! agent that gets it has read the lease.
//!
//! Single jobs by the clock, through coordinators that share a Redis: a job is submitted at one and mostly claimed at
//! another, so it is the hint that is measured. An answer that is late does not delay the next submit's moment.

use std::time::Duration;

use crate::files;
use crate::fleet::{Crew, Fleet, Load, Pace};
use crate::hive::Hive;
use crate::report::{Row, Section, Target};
use crate::sample::Sample;
use crate::store::{Appending, Store};
use crate::system::Setup;

const AGENTS: usize = 1_000;
const COORDINATORS: usize = 3;
/// Submits a second: far below what the machine carries, so that a job waits for nothing but its dispatch.
const RATE: f64 = 50.0;
const SUBMITTERS: usize = 6;
/// To reach.
const MEDIAN_MS_MAX: f64 = 5.0;
const P99_MS_MAX: f64 = 50.0;

pub(crate) async fn measure(setup: &Setup, jobs: usize) -> anyhow::Result<Section> {
    let crew = Crew {
        agents: AGENTS,
        slots: 1,
        hold: Duration::ZERO,
        has_sessions: true,
    };
    files::make_room(crew.connections() + SUBMITTERS, COORDINATORS)?;
    let store = Store::start(Appending::Everysec)?;
    let hive = Hive::start(setup, Some(&store.url()), COORDINATORS).await?;
    let mut fleet = Fleet::start(hive.doors(), crew, jobs).await?;
    let load = |jobs| Load {
        jobs,
        batch: 1,
        pace: Pace::Rate(RATE),
        submitters: SUBMITTERS,
    };
    fleet.work_off(load(jobs / 10)).await?;
    let (before, used) = (store.work()?, hive.cpu()?);
    fleet.work_off(load(jobs)).await?;
    let redis = store.work()?.each_since(&before, jobs);
    let coordinators = hive.cpu()?.iter().sum::<Duration>() - used.iter().sum::<Duration>();
    let waited = Sample::new(fleet.tally().waited_ms());
    let [p50, p99, longest] = waited.quantiles([0.5, 0.99, 1.0]);
    drop(fleet);
    hive.stop().await?;
    let latency = |what, figure| {
        Row::cost(
            format!("submit to lease in the agent's hand, {what}"),
            "ms",
            waited.clone(),
        )
        .measured(figure)
    };
    let rows = vec![
        latency("p50", p50).target(Target::AtMost(MEDIAN_MS_MAX)),
        latency("p99", p99).target(Target::AtMost(P99_MS_MAX)),
        latency("longest", longest),
        Row::cost(
            "CPU of all coordinators for a job, the parked agents' upkeep included",
            "us",
            Sample::one(coordinators.as_secs_f64() * 1e6 / jobs as f64),
        ),
        Row::cost(
            "CPU of Redis for a job, likewise",
            "us",
            Sample::one(redis.cpu_us),
        ),
    ];
    let what = format!(
        "{jobs} single jobs, {RATE:.0} a second, {AGENTS} parked agents, {COORDINATORS} coordinators"
    );
    Ok(Section {
        name: "parked",
        what,
        rows,
    })
}
