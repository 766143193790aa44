//! Measures the Redis backend with transactions like those of a job's life: CPU time of Redis per job and step by batch and
//! append-only mode, and the bytes that a finished job takes. Starts a Redis of its own for each.
//!
//! `cargo run --release -p hiveforge-nexus --example measure_redis [jobs]`.

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]

use futures_util::{StreamExt as _, stream};
use hiveforge_nexus::{
    Append, Class, Demand, Durability, Guard, Hold, Move, Nexus as _, Outcome, RedisConfig, RedisNexus,
    RedisServers, Score, ServerAddr, Space, Taken, Transaction, TxId,
};
use servers::{AppendOnly, Redis, RedisOptions};

/// Calls in flight.
const AT_ONCE: usize = 8;
const LANES: u64 = 4;
const JOBS: u64 = 20_000;
const HELD_UNTIL: Score = Score::saturating(1_700_000_009_000);

#[tokio::main]
async fn main() {
    let jobs = std::env::args().nth(1).map_or(JOBS, |jobs| jobs.parse().unwrap());
    println!("CPU time of Redis in microseconds per job");
    println!("append-only   batch | submit   take  claim finish |  all | bytes per finished job");
    for append_only in [AppendOnly::No, AppendOnly::EverySecond, AppendOnly::Always] {
        for batch in [1, 10, 64] {
            // One fsync per call: a batch of 1 would measure the disk for minutes.
            let jobs = if append_only == AppendOnly::Always && batch == 1 {
                jobs / 10
            } else {
                jobs
            };
            measure(append_only, batch, jobs / batch).await;
        }
    }
}

async fn measure(append_only: AppendOnly, batch: u64, rounds: u64) {
    let redis = Redis::start(RedisOptions {
        append_only,
        ..RedisOptions::default()
    })
    .unwrap();
    let server = ServerAddr::new(redis.addr().ip().to_string(), redis.addr().port());
    let nexus = RedisNexus::open(RedisConfig::new(RedisServers::Single(server))).unwrap();
    let empty = used_memory(&redis);
    let mut costs = Vec::new();
    let mut meter = Meter::start(&redis);
    let submits =
        (0..rounds).map(|round| commit(&nexus, (round * batch..(round + 1) * batch).map(submit).collect()));
    all(submits).await;
    costs.push(meter.lap(rounds * batch));
    let space = space();
    let takes = (0..rounds).map(|_| nexus.take(&space, vec![demand(usize::try_from(batch).unwrap())]));
    let rest: Vec<_> = all(takes)
        .await
        .into_iter()
        .map(|taken| taken.unwrap().remove(0))
        .collect();
    costs.push(meter.lap(rounds * batch));
    assert!(rest.iter().all(|taken| taken.len() as u64 == batch));
    all(rest
        .iter()
        .map(|taken| commit(&nexus, taken.iter().map(claim).collect())))
    .await;
    costs.push(meter.lap(rounds * batch));
    all(rest
        .iter()
        .map(|taken| commit(&nexus, taken.iter().map(finish).collect())))
    .await;
    costs.push(meter.lap(rounds * batch));
    let all: f64 = costs.iter().sum();
    let bytes = (used_memory(&redis) - empty) / (rounds * batch);
    if std::env::var_os("STATS").is_some() {
        for (name, stats) in redis.info("commandstats").unwrap() {
            println!("{name} {stats}");
        }
    }
    let costs: String = costs.iter().map(|cost| format!("{cost:7.1}")).collect();
    println!(
        "{:<13} {batch:>5} |{costs} |{all:5.1} | {bytes}",
        format!("{append_only:?}")
    );
    nexus.close().await.unwrap();
}

/// Does them all, some at a time: as several coordinators do.
async fn all<T>(calls: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    stream::iter(calls).buffered(AT_ONCE).collect().await
}

fn used_memory(redis: &Redis) -> u64 {
    redis.info("memory").unwrap()["used_memory"].parse().unwrap()
}

/// Server CPU between two laps.
struct Meter<'a> {
    redis: &'a Redis,
    micros: u64,
}

impl<'a> Meter<'a> {
    fn start(redis: &'a Redis) -> Self {
        let micros = redis.cpu_micros().unwrap();
        Self { redis, micros }
    }

    fn lap(&mut self, n: u64) -> f64 {
        let before = std::mem::replace(&mut self.micros, self.redis.cpu_micros().unwrap());
        (self.micros - before) as f64 / n as f64
    }
}

async fn commit(nexus: &RedisNexus, txs: Vec<Transaction>) {
    let outcomes = nexus.commit(&space(), txs, Durability::Disk).await.unwrap();
    assert!(
        outcomes.iter().all(|outcome| *outcome == Outcome::Applied),
        "{outcomes:?}"
    );
}

fn space() -> Space {
    Space::new("pool/default").unwrap()
}

fn demand(n: usize) -> Demand {
    Demand {
        sets: (0..LANES).map(lane).collect(),
        n,
        up_to: Score::MAX,
        hold: Hold {
            set: "held".to_owned(),
            until: HELD_UNTIL,
        },
        with: vec!["job/".to_owned(), "spec/".to_owned()],
    }
}

fn submit(i: u64) -> Transaction {
    let job = id(i);
    let at = Score::saturating(1_700_000_000_000 + i);
    let mut tx = Transaction::new(TxId(splitmix(i)), Class::Growth);
    tx.guards = vec![Guard::Record(format!("job/{job}"), None)];
    tx.puts = vec![
        (format!("spec/{job}"), noise(!i, 262)),
        (format!("job/{job}"), noise(i, 250)),
    ];
    tx.moves = vec![
        place("jobs", &job, Some(at)),
        place(&lane(i % LANES), &job, Some(at)),
    ];
    tx.appends = vec![entry(i, &job)];
    tx.hints = vec![format!("job/{job}"), lane(i % LANES)];
    tx
}

fn claim(taken: &Taken) -> Transaction {
    let (job, record) = (&taken.member, taken.records[0].as_ref().unwrap());
    let id = splitmix(record.version.0);
    let mut tx = Transaction::new(TxId(id), Class::Relief);
    tx.guards = vec![
        Guard::Record(format!("job/{job}"), Some(record.version)),
        Guard::Member("held".to_owned(), job.clone(), Some(HELD_UNTIL)),
    ];
    tx.puts = vec![(format!("job/{job}"), noise(id, 330))];
    tx.moves = vec![place(&agent(id), job, Some(HELD_UNTIL)), place("held", job, None)];
    tx.appends = vec![entry(id, job)];
    tx.hints = vec![format!("job/{job}")];
    tx
}

fn finish(taken: &Taken) -> Transaction {
    let (job, record) = (&taken.member, taken.records[0].as_ref().unwrap());
    let (claim, id) = (splitmix(record.version.0), splitmix(splitmix(record.version.0)));
    let log = format!("log/{job}/1");
    let mut tx = Transaction::new(TxId(id), Class::Relief);
    tx.guards = vec![
        Guard::Record(format!("job/{job}"), Some(TxId(claim).into())),
        Guard::LogLen(log.clone(), 0),
    ];
    tx.puts = vec![(format!("job/{job}"), noise(id, 420))];
    tx.moves = vec![place(&agent(claim), job, None)];
    tx.appends = vec![
        entry(id, job),
        Append {
            log,
            thread: None,
            bytes: noise(!id, 100),
        },
    ];
    tx.hints = vec![format!("job/{job}")];
    tx
}

fn place(set: &str, job: &str, score: Option<Score>) -> Move {
    Move {
        set: set.to_owned(),
        member: job.to_owned(),
        score,
    }
}

fn entry(seed: u64, job: &str) -> Append {
    Append {
        log: "journal".to_owned(),
        thread: Some(job.to_owned()),
        bytes: noise(seed, 200),
    }
}

/// The leases of one of eight agents.
fn agent(seed: u64) -> String {
    format!("leases/01kb000000000000000000000{}", seed % 8)
}

fn lane(i: u64) -> String {
    format!("lane/0123456789abcdef{i}")
}

/// 26 characters that rise with time.
fn id(i: u64) -> String {
    format!("{:010x}{:016x}", 1_700_000_000_000 + i / 3, splitmix(i))
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
