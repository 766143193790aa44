//! How long a single job takes on a warm, idle system, from its submit to its end as its submitter sees it.
//!
//! One connection, one job at a time; the submitter waits with `Prefer: wait` and is answered at each change. Each job
//! has one `posix_spawn` beside it, right before, for the same moment's floor.

use std::time::{Duration, Instant};

use anyhow::ensure;
use domain::job::StateName;
use protocol::client::{Client, ClientError, Options, read_bytes};
use protocol::jobs::{JobView, Submitted};

use crate::floor::TRUE;
use crate::report::{Row, Section, Target};
use crate::sample::Sample;
use crate::spawn;
use crate::system::{Coordinator, SPEC, Setup};

/// Jobs before the measurement.
const WARM_UP: usize = 20;
/// To reach by the median.
const MEDIAN_MS_MAX: f64 = 4.0;
/// How long a job may take.
const WAIT_SECONDS: u64 = 30;

/// One job, in the order of what happens to it.
struct Single {
    floor: Duration,
    acknowledged: Duration,
    done: Duration,
    view: JobView,
}

pub(crate) async fn measure(setup: &Setup, jobs: usize) -> anyhow::Result<Section> {
    let coordinator = Coordinator::start(setup).await?;
    let agent = coordinator.start_agent(setup)?;
    let mut singles = Vec::with_capacity(WARM_UP + jobs);
    for _ in 0..WARM_UP + jobs {
        singles.push(single(coordinator.client()).await?);
    }
    let used = agent.cpu()?;
    agent.stop().await?;
    coordinator.stop().await?;
    ensure!(
        !used.children.is_zero(),
        "the agent's children used no processor at all"
    );
    let what = format!("{jobs} jobs of /bin/true, one at a time");
    Ok(Section {
        name: "latency",
        what,
        rows: rows(&singles[WARM_UP..]),
    })
}

async fn single(client: &Client) -> anyhow::Result<Single> {
    let started_at = Instant::now();
    spawn::run(TRUE)?;
    let floor = started_at.elapsed();
    let submitted_at = Instant::now();
    let reply: Submitted = client
        .post_bytes("/v1/jobs", SPEC.into(), Options::default())
        .await?;
    let acknowledged = submitted_at.elapsed();
    let view = ended(client, &format!("/v1/jobs/{}", reply.id)).await?;
    ensure!(
        view.state == StateName::Succeeded,
        "the job is {:?}: {:?}",
        view.state,
        view.cause_text
    );
    Ok(Single {
        floor,
        acknowledged,
        done: submitted_at.elapsed(),
        view,
    })
}

/// Waits for the end of a job, change by change.
async fn ended(client: &Client, path: &str) -> anyhow::Result<JobView> {
    let mut known = String::new();
    loop {
        let mut options = Options::default()
            .header("prefer", &format!("wait={WAIT_SECONDS}"))
            .timeout(Duration::from_secs(WAIT_SECONDS + 5));
        if !known.is_empty() {
            options = options.header("if-none-match", &known);
        }
        let reply = client.stream(path, "application/json", options).await?;
        ensure!(
            reply.status().is_success(),
            "the job did not change for {WAIT_SECONDS} seconds"
        );
        known = reply
            .headers()
            .get("etag")
            .and_then(|etag| etag.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = read_bytes(reply).await?;
        let view: JobView =
            serde_json::from_slice(&body).map_err(|error| ClientError::BadReply(error.to_string()))?;
        if view.ended_at.is_some() {
            return Ok(view);
        }
    }
}

fn rows(singles: &[Single]) -> Vec<Row> {
    let of = |figure: &dyn Fn(&Single) -> f64| Sample::new(singles.iter().map(figure));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let done = of(&|single| ms(single.done));
    let (p99, all) = (done.quantile(0.99), done.clone());
    // The coordinator's clock shows whole milliseconds; over many jobs the mean of differences is right nevertheless.
    let recorded = |what: &str, sample: Sample| {
        let mean = sample.mean();
        Row::cost(format!("  {what}, mean"), "ms", sample).measured(mean)
    };
    vec![
        Row::cost(
            "one posix_spawn and its wait",
            "ms",
            of(&|single| ms(single.floor)),
        ),
        Row::cost("submit to end seen, median", "ms", done).target(Target::AtMost(MEDIAN_MS_MAX)),
        Row::cost("submit to end seen, p99", "ms", all).measured(p99),
        Row::cost(
            "  submit to its acknowledgement, median",
            "ms",
            of(&|single| ms(single.acknowledged)),
        ),
        recorded(
            "accepted to claimed, by the record",
            of(&|single| queued_ms(&single.view)),
        ),
        recorded(
            "claimed to ended, by the record",
            of(&|single| leased_ms(&single.view)),
        ),
        recorded(
            "of that the command, by the agent",
            of(&|single| ran_ms(&single.view)),
        ),
    ]
}

fn queued_ms(view: &JobView) -> f64 {
    let started_at = view
        .attempts
        .last()
        .map_or(view.submitted_at, |attempt| attempt.started_at);
    started_at.as_millis() as f64 - view.submitted_at.as_millis() as f64
}

fn leased_ms(view: &JobView) -> f64 {
    let ms = |attempt: &protocol::jobs::AttemptView| {
        attempt.ended_at.as_millis() as f64 - attempt.started_at.as_millis() as f64
    };
    view.attempts.last().map_or(0.0, ms)
}

fn ran_ms(view: &JobView) -> f64 {
    let ran = view.attempts.last().and_then(|attempt| attempt.ran);
    ran.map_or(0.0, |ran| ran.duration().as_secs_f64() * 1e3)
}
