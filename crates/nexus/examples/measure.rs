//! Measures the SQLite backend with transactions like those of a queued job: commits per second and CPU time by group size
//! and durability, the cost of a take and of a claim, and the bytes of the database per queued job.
//!
//! `cargo run --release -p hiveforge-nexus --example measure [directory]`. The directory decides which disk is measured.

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use hiveforge_nexus::{
    Append, Class, Clock, Demand, Durability, Guard, Hold, Move, Nexus as _, Outcome, Score, Space,
    SqliteNexus, Taken, Transaction, TxId,
};
use rustix::time::{ClockId, clock_gettime};

const JOBS: u64 = 100_000;
const LANES: u64 = 4;

#[tokio::main]
async fn main() {
    let directory = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(directory).unwrap();
    for (durability, batches) in [(Durability::Disk, 300), (Durability::Process, 3_000)] {
        for group in [1, 8, 64] {
            let path = directory.path().join(format!("{durability:?}-{group}.db"));
            measure_commits(&path, durability, (group, batches)).await;
        }
    }
    let path = directory.path().join("queued.db");
    fill(&path).await;
    measure_rounds(&path).await;
}

fn space() -> Space {
    Space::new("pool/default").unwrap()
}

async fn measure_commits(path: &Path, durability: Durability, (group, batches): (u64, u64)) {
    let nexus = SqliteNexus::open(path, Clock::system()).unwrap();
    let meter = Meter::start();
    for batch in 0..batches {
        let txs = (batch * group..(batch + 1) * group).map(submit).collect();
        let outcomes = nexus.commit(&space(), txs, durability).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    }
    meter.report(&format!("submit, {durability:?}, group {group}"), batches * group);
    nexus.close().await.unwrap();
}

async fn fill(path: &Path) {
    let nexus = SqliteNexus::open(path, Clock::system()).unwrap();
    let meter = Meter::start();
    let mut ids = 0..JOBS;
    while !ids.is_empty() {
        let txs = ids.by_ref().take(16).map(submit).collect();
        nexus.commit(&space(), txs, Durability::Process).await.unwrap();
    }
    meter.report("submit, Process, group 16", JOBS);
    nexus.close().await.unwrap();
    let bytes = std::fs::metadata(path).unwrap().len();
    println!("{JOBS} queued jobs: {} bytes of database each", bytes / JOBS);
}

/// Takes ten jobs at a time, claims them and ends them.
async fn measure_rounds(path: &Path) {
    const ROUNDS: u64 = 1_000;
    let (began_at, nexus) = (Instant::now(), SqliteNexus::open(path, Clock::system()).unwrap());
    println!("opening with {JOBS} queued jobs: {:?}", began_at.elapsed());
    let demand = Demand {
        sets: (0..LANES).map(lane).collect(),
        n: 10,
        up_to: Score::MAX,
        hold: Hold {
            set: "held".to_owned(),
            until: Score::MAX,
        },
        with: vec!["job/".to_owned(), "spec/".to_owned()],
    };
    let mut held = Vec::new();
    let meter = Meter::start();
    for _ in 0..ROUNDS {
        held.push(
            nexus
                .take(&space(), vec![demand.clone()])
                .await
                .unwrap()
                .remove(0),
        );
    }
    meter.report("take, group 10", ROUNDS * 10);
    let meter = Meter::start();
    for taken in &held {
        commit_all(&nexus, taken.iter().map(claim).collect(), Durability::Process).await;
    }
    meter.report("claim, Process, group 10", ROUNDS * 10);
    let meter = Meter::start();
    for taken in &held {
        commit_all(&nexus, taken.iter().map(finish).collect(), Durability::Disk).await;
    }
    meter.report("finish, Disk, group 10", ROUNDS * 10);
    let meter = Meter::start();
    for taken in held.iter().flatten() {
        nexus
            .fetch(
                &space(),
                &[key("job/", &taken.member), key("spec/", &taken.member)],
            )
            .await
            .unwrap();
    }
    meter.report("fetch of two records", ROUNDS * 10);
    nexus.close().await.unwrap();
}

async fn commit_all(nexus: &SqliteNexus, txs: Vec<Transaction>, durability: Durability) {
    let outcomes = nexus.commit(&space(), txs, durability).await.unwrap();
    assert!(
        outcomes.iter().all(|outcome| *outcome == Outcome::Applied),
        "{outcomes:?}"
    );
}

/// Two records of 250 bytes, two places, one entry of 120 bytes with a thread.
fn submit(i: u64) -> Transaction {
    let job = id(i);
    let score = Some(Score::saturating(1_700_000_000_000 + i));
    let mut tx = Transaction::new(TxId(splitmix(i)), Class::Growth);
    tx.guards = vec![Guard::Record(key("job/", &job), None)];
    tx.puts = vec![
        (key("job/", &job), noise(i, 250)),
        (key("spec/", &job), noise(!i, 250)),
    ];
    tx.moves = vec![
        Move {
            set: lane(i % LANES),
            member: job.clone(),
            score,
        },
        Move {
            set: "listing".to_owned(),
            member: job.clone(),
            score,
        },
    ];
    tx.appends = vec![entry(i, job)];
    tx
}

fn claim(taken: &Taken) -> Transaction {
    let job = &taken.member;
    let record = taken.records[0].as_ref().unwrap();
    let seed = record.version.0.wrapping_add(1);
    let mut tx = Transaction::new(TxId(splitmix(seed)), Class::Relief);
    tx.guards = vec![
        Guard::Record(key("job/", job), Some(record.version)),
        Guard::Member("held".to_owned(), job.clone(), Some(Score::MAX)),
    ];
    tx.puts = vec![(key("job/", job), noise(seed, 250))];
    tx.moves = vec![
        Move {
            set: "held".to_owned(),
            member: job.clone(),
            score: None,
        },
        Move {
            set: "deadlines".to_owned(),
            member: job.clone(),
            score: Some(Score::saturating(seed >> 20)),
        },
    ];
    tx.appends = vec![entry(seed, job.clone())];
    tx
}

fn finish(taken: &Taken) -> Transaction {
    let job = &taken.member;
    let seed = splitmix(taken.records[0].as_ref().unwrap().version.0.wrapping_add(1));
    let mut tx = Transaction::new(TxId(splitmix(seed)), Class::Relief);
    tx.guards = vec![Guard::Record(key("job/", job), Some(TxId(seed).into()))];
    tx.puts = vec![
        (key("job/", job), noise(seed, 250)),
        (key("attempts/", job), noise(!seed, 200)),
    ];
    tx.moves = vec![
        Move {
            set: "deadlines".to_owned(),
            member: job.clone(),
            score: None,
        },
        Move {
            set: "retention".to_owned(),
            member: job.clone(),
            score: Some(taken.score),
        },
    ];
    tx.appends = vec![entry(seed, job.clone())];
    tx
}

fn entry(seed: u64, job: String) -> Append {
    Append {
        log: "journal".to_owned(),
        thread: Some(job),
        bytes: noise(seed, 120),
    }
}

/// 34 characters that rise with time and are random behind it, three of them in a millisecond.
fn id(i: u64) -> String {
    let digits = (splitmix(i), splitmix(!i));
    format!(
        "default-{:010x}{:08x}{:08x}",
        1_700_000_000_000 + i / 3,
        digits.0 >> 32,
        digits.1 >> 32
    )
}

fn key(prefix: &str, job: &str) -> String {
    format!("{prefix}{job}")
}

fn lane(i: u64) -> String {
    format!("lane/{i}")
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    (0..)
        .map(|i| splitmix(seed ^ i))
        .flat_map(u64::to_le_bytes)
        .take(bytes)
        .collect()
}

fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Wall time and CPU time of the process since its start.
struct Meter {
    began_at: Instant,
    cpu_ns: u128,
}

impl Meter {
    fn start() -> Self {
        Self {
            began_at: Instant::now(),
            cpu_ns: cpu_ns(),
        }
    }

    fn report(&self, what: &str, n: u64) {
        let seconds = self.began_at.elapsed().as_secs_f64();
        let cpu_us = (cpu_ns() - self.cpu_ns) as f64 / 1_000.0;
        println!(
            "{what}: {:.0} a second, {:.1} us of CPU each",
            n as f64 / seconds,
            cpu_us / n as f64
        );
    }
}

fn cpu_ns() -> u128 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u128 * 1_000_000_000 + time.tv_nsec as u128
}
