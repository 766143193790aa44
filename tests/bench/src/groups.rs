//! What a job costs the coordinator by the number of finishes that come together.
//!
//! An agent that runs nothing holds as many leases as the group is large, and reports all of them in one request with the
//! claim for the next ones. So the group is exact, where a real agent's depends on how long its jobs take. The cost
//! is all of a job's: its submit, its claim and its finish, the latter durable when acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use domain::{AgentId, Digest, Resources};
use protocol::agents::{AgentInfo, Enrolled};
use protocol::client::{Client, Options};
use protocol::leases::{ClaimReply, ClaimRequest, FinishReply, FinishRequest, FinishResult};

use crate::fleet::finish;
use crate::report::{Row, Section, Target};
use crate::sample::Sample;
use crate::system::{Coordinator, Setup};

/// The sizes to compare.
const SIZES: [usize; 6] = [1, 2, 4, 8, 16, 64];
/// From this size on a job may cost [`CPU_US_MAX`].
const SIZE_OF_TARGET: usize = 8;
const CPU_US_MAX: f64 = 100.0;
/// How long a claim waits for a job that must be there.
const CLAIM_WAIT_MS: u64 = 10_000;

pub(crate) async fn measure(setup: &Setup, rounds: usize, jobs: usize) -> anyhow::Result<Section> {
    let mut submits = Vec::new();
    let mut leases: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for _ in 0..rounds {
        let coordinator = Coordinator::start(setup).await?;
        let agent = Agent::enrol(&coordinator, *SIZES.last().context("there are sizes")?).await?;
        // One of each kind before the measurement.
        coordinator.submit(1).await?;
        agent.run_all(1, 1).await?;
        for size in SIZES {
            let before = coordinator.cpu()?;
            coordinator.submit(jobs).await?;
            let submitted = coordinator.cpu()?;
            agent.run_all(size, jobs).await?;
            let each = |time: Duration| time.as_secs_f64() * 1e6 / jobs as f64;
            submits.push(each(submitted - before));
            leases
                .entry(size)
                .or_default()
                .push(each(coordinator.cpu()? - submitted));
        }
        coordinator.stop().await?;
    }
    let what = format!("{jobs} jobs for each size, without running anything, {rounds} rounds");
    Ok(Section {
        name: "groups",
        what,
        rows: rows(submits, leases),
    })
}

fn rows(submits: Vec<f64>, leases: BTreeMap<usize, Vec<f64>>) -> Vec<Row> {
    let submit = Sample::new(submits);
    let least = submit.median();
    let mut rows = vec![Row::cost(
        "CPU of the coordinator: a submit, in batches of 1,000",
        "us",
        submit,
    )];
    for (size, costs) in leases {
        let all = Sample::new(costs.into_iter().map(|cost| cost + least));
        let row = Row::cost(
            format!("  submit, claim and finish, {size} in a group"),
            "us",
            all,
        );
        rows.push(if size >= SIZE_OF_TARGET {
            row.target(Target::AtMost(CPU_US_MAX))
        } else {
            row
        });
    }
    rows
}

/// What an agent is to the coordinator.
struct Agent {
    id: AgentId,
    client: Client,
}

impl Agent {
    async fn enrol(coordinator: &Coordinator, slots: usize) -> anyhow::Result<Self> {
        let info = AgentInfo {
            id: "01k0000000000000000000000a".parse()?,
            name: "groups".parse()?,
            fingerprint: Digest::of(b"groups"),
            labels: BTreeMap::new(),
            capacity: Resources::default(),
            slots,
            executor: "none".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let client = coordinator.agent_client()?;
        let _enrolled: Enrolled = client.post("/v1/agents", &info, Options::default()).await?;
        Ok(Self { id: info.id, client })
    }

    /// Claims and finishes jobs in groups until so many are done. So many are queued.
    async fn run_all(&self, size: usize, jobs: usize) -> anyhow::Result<()> {
        let mut left = jobs;
        let first = self.claim(size.min(left));
        let mut held = self
            .client
            .post::<ClaimReply>("/v1/claims", &first, Options::default())
            .await?
            .leases;
        while left > 0 {
            ensure!(!held.is_empty(), "{left} jobs are queued, and none was given");
            left -= held.len();
            let request = FinishRequest {
                finishes: held.iter().map(finish).collect(),
                claim: (left > 0).then(|| self.claim(size.min(left))),
            };
            let reply: FinishReply = self
                .client
                .post("/v1/leases/finish", &request, Options::default())
                .await?;
            ensure!(
                reply.results.iter().all(|result| *result == FinishResult::Done),
                "{:?}",
                reply.results
            );
            held = reply.claim.map(|claim| claim.leases).unwrap_or_default();
        }
        Ok(())
    }

    fn claim(&self, slots: usize) -> ClaimRequest {
        ClaimRequest {
            agent: self.id.clone(),
            slots,
            ahead: None,
            free: Resources::default(),
            held: Vec::new(),
            wait_ms: CLAIM_WAIT_MS,
            enrol: None,
        }
    }
}
