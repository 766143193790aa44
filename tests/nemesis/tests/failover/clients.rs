//! Clients that submit, and repeat what they got no answer to, as every client should: with the same `Idempotency-Key`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use domain::{JobId, JobSpec};
use protocol::client::{Client, Options};
use protocol::jobs::{BatchItem, BatchSubmit, BatchSubmitted, IDEMPOTENCY_KEY};
use serde_json::value::to_raw_value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::coordinators::Coordinators;
use crate::crew::SLOW;

/// Clients at the same time.
const N_CLIENTS: usize = 4;
/// Jobs of one submit.
const BATCH: usize = 50;
/// One job in so many takes its time.
const SLOW_EVERY: usize = 50;
/// The pause before a submit is repeated.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one submit is repeated.
const PATIENCE: Duration = Duration::from_secs(150);

/// Running clients.
pub(crate) struct Clients(JoinSet<Result<BTreeSet<JobId>>>);

impl Clients {
    /// Starts them; together they submit `n_jobs`.
    pub(crate) fn start(coordinators: &Coordinators, n_jobs: usize) -> Result<Self> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..N_CLIENTS {
            clients.spawn(submit_all(coordinators.client()?, Arc::clone(&next), n_jobs));
        }
        Ok(Self(clients))
    }

    /// Waits until all jobs were acknowledged, and returns them.
    pub(crate) async fn acknowledged(mut self) -> Result<BTreeSet<JobId>> {
        let mut all = BTreeSet::new();
        while let Some(one) = self.0.join_next().await {
            let one = one.context("a client panicked")??;
            ensure!(
                all.is_disjoint(&one),
                "two submits were answered with the same job"
            );
            all.extend(one);
        }
        Ok(all)
    }
}

async fn submit_all(client: Client, next: Arc<AtomicUsize>, n_jobs: usize) -> Result<BTreeSet<JobId>> {
    let mut acknowledged = BTreeSet::new();
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        if first >= n_jobs {
            return Ok(acknowledged);
        }
        let numbers = first..(first + BATCH).min(n_jobs);
        let n_batch = numbers.len();
        let jobs = numbers.map(|n| to_raw_value(&job(n))).collect::<Result<_, _>>()?;
        let ids = submit(&client, &BatchSubmit { jobs }, &format!("batch-{first}")).await?;
        ensure!(
            ids.len() == n_batch,
            "{n_batch} jobs were submitted and {} acknowledged",
            ids.len()
        );
        acknowledged.extend(ids);
    }
}

async fn submit(client: &Client, batch: &BatchSubmit, key: &str) -> Result<Vec<JobId>> {
    let began_at = Instant::now();
    let reply: BatchSubmitted = loop {
        let options = Options::default().header(IDEMPOTENCY_KEY, key);
        match client.post("/v1/jobs/batch", batch, options).await {
            Ok(reply) => break reply,
            Err(error) if error.is_transient() && began_at.elapsed() < PATIENCE => sleep(PAUSE).await,
            Err(error) => bail!("submit {key}: {error}"),
        }
    };
    let ids = reply.items.into_iter().map(|item| match item {
        BatchItem::Submitted(submitted) => Ok(submitted.id),
        BatchItem::Refused(problem) => bail!("a job of {key} was refused: {problem}"),
    });
    ids.collect()
}

fn job(n: usize) -> JobSpec {
    let program = if n.is_multiple_of(SLOW_EVERY) {
        SLOW
    } else {
        "quick"
    };
    JobSpec::command([program])
}
