//! In the middle of a run of 10,000 jobs two of the three coordinators and the primary are killed, all at the same moment and
//! for good.
//!
//! Every job that was acknowledged must have ended well and must have been started once: no lease of a living agent is
//! lost by a failover, and nothing is run twice. (A lease that was never started may be given back, which is charged to
//! nobody.) What a coordinator has reported as short of replicas is excused, as everywhere: on a machine that stands still
//! for seconds the Sentinels may go on to the next primary. `HIVEFORGE_JOBS` is another number of jobs, `HIVEFORGE_SEED`
//! chooses the victims.

use std::net::SocketAddr;
use std::process;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use servers::{AppendOnly, Redis, RedisOptions, SERVICE, Sentinels};
use tokio::task::block_in_place;

use crate::clients::Clients;
use crate::coordinators::Coordinators;
use crate::crew::Crew;
use crate::number;
use crate::verdict::{check_books, complaints, not_started_once};

/// Jobs of a run.
const N_JOBS: u64 = 10_000;
/// Coordinators.
const N_COORDINATORS: u64 = 3;
/// How long the primary is silent before it is taken for dead: longer than a busy machine makes a living one wait.
const DOWN_AFTER: Duration = Duration::from_secs(3);
/// Seconds that a replica may lag before a primary without another one takes no more writes.
const LAG_MAX: u32 = 10;
/// How long an acknowledgement waits for a replica: so long that none falls short of it on a busy machine, or this could
/// find losses that were announced.
const REPLICAS_WAIT: &str = "5s";

/// What a coordinator logs about such a commit.
const FELL_SHORT: &str = "acknowledged a commit that not all replicas have";

/// A primary, its replicas and their Sentinels.
struct Arrangement {
    primary: Redis,
    replicas: Vec<Redis>,
    sentinels: Sentinels,
}

impl Arrangement {
    fn start() -> Result<Self> {
        let options = RedisOptions {
            append_only: AppendOnly::EverySecond,
            replicas_min: Some((1, LAG_MAX)),
            ..RedisOptions::default()
        };
        let primary = Redis::start(options.clone())?;
        let replicas = vec![primary.replica(options.clone())?, primary.replica(options)?];
        let sentinels = Sentinels::start(&primary, 3, replicas.len(), DOWN_AFTER)?;
        Ok(Self {
            primary,
            replicas,
            sentinels,
        })
    }

    fn url(&self) -> String {
        let addrs: Vec<String> = self.sentinels.addrs().iter().map(SocketAddr::to_string).collect();
        format!("redis+sentinel://{}/{SERVICE}", addrs.join(","))
    }

    /// Waits until a replica was promoted.
    fn promoted(&self) -> Result<()> {
        let promoted = self.sentinels.wait_for_another_primary(self.primary.addr())?;
        let is_ours = self.replicas.iter().any(|replica| replica.addr() == promoted);
        ensure!(
            is_ours,
            "the Sentinels promoted {promoted}, which is no replica of ours"
        );
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_coordinators_and_the_primary_may_die_in_the_middle_of_a_run() {
    if !servers::redis_or_skip() {
        return;
    }
    let n_jobs = usize::try_from(number("HIVEFORGE_JOBS").unwrap_or(N_JOBS)).unwrap();
    let seed = number("HIVEFORGE_SEED").unwrap_or_else(|| process::id().into());
    println!("HIVEFORGE_SEED={seed} HIVEFORGE_JOBS={n_jobs}");
    let began_at = Instant::now();
    let arrangement = block_in_place(Arrangement::start).unwrap();
    let options = [
        "--nexus",
        &arrangement.url(),
        "--nexus-replicas-wait",
        REPLICAS_WAIT,
    ];
    let mut coordinators = block_in_place(|| Coordinators::start(3, &options)).unwrap();
    let crew = Crew::start(&coordinators).await.unwrap();
    let clients = Clients::start(&coordinators, n_jobs).unwrap();

    crew.until_started(n_jobs / 3).await.unwrap();
    let struck_at = Instant::now();
    let survivor = usize::try_from(seed % N_COORDINATORS).unwrap();
    arrangement.primary.kill9().unwrap();
    coordinators.kill_all_but(survivor).unwrap();
    println!(
        "{:.1?}: struck; coordinator {survivor} is left",
        began_at.elapsed()
    );
    block_in_place(|| arrangement.promoted()).unwrap();
    println!("a replica was promoted after {:.1?}", struck_at.elapsed());

    let acknowledged = clients.acknowledged().await.unwrap();
    assert_eq!(acknowledged.len(), n_jobs);
    let jobs = coordinators.all_ended().await.unwrap();
    let n_returned = jobs.values().filter(|job| job.attempt > 1).count();
    println!(
        "{:.1?}: all jobs have ended; {n_returned} were given back unstarted",
        began_at.elapsed()
    );
    let mut found = complaints(&acknowledged, &jobs);
    found.extend(not_started_once(&acknowledged, &crew.started()));
    let n_short = coordinators.reports_of(FELL_SHORT).unwrap();
    println!(
        "{n_short} reports of commits that fell short of a replica, {} complaints",
        found.len()
    );
    assert!(found.is_empty() || n_short > 0, "{}: {found:#?}", found.len());
    crew.stop().await.unwrap();
    drop(coordinators);
    let primary = block_in_place(|| arrangement.sentinels.primary()).unwrap();
    check_books(primary).await.unwrap();
}
