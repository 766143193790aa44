//! A nexus over a server of the test, the short forms in which the tests speak to it, and waiting for a condition.

use std::net::SocketAddr;
use std::time::Duration;

use hiveforge_nexus::{
    Append, Class, Demand, Durability, Guard, Hold, Move, Nexus as _, NexusError, Outcome, RedisConfig,
    RedisNexus, RedisServers, Score, ServerAddr, Space, Standing, Transaction, TxId, Version,
};
use servers::{Redis, RedisOptions};
use tokio::time::{Instant, sleep};

/// How long anything may take that is only waited for.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) redis: Redis,
    pub(crate) nexus: RedisNexus,
}

/// A server with these options and a nexus over it.
pub(crate) fn world(options: RedisOptions) -> World {
    let redis = Redis::start(options).unwrap();
    let nexus = open(config(redis.addr()));
    World { redis, nexus }
}

pub(crate) fn config(addr: SocketAddr) -> RedisConfig {
    RedisConfig::new(RedisServers::Single(server(addr)))
}

pub(crate) fn server(addr: SocketAddr) -> ServerAddr {
    ServerAddr::new(addr.ip().to_string(), addr.port())
}

pub(crate) fn open(config: RedisConfig) -> RedisNexus {
    RedisNexus::open(config).unwrap()
}

pub(crate) fn space() -> Space {
    Space::new("pool/default").unwrap()
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never came: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn try_commit(
    nexus: &RedisNexus,
    tx: Transaction,
    durability: Durability,
) -> Result<Outcome, NexusError> {
    Ok(nexus.commit(&space(), vec![tx], durability).await?.remove(0))
}

pub(crate) async fn commit(nexus: &RedisNexus, tx: Transaction) -> Outcome {
    try_commit(nexus, tx, Durability::Process).await.unwrap()
}

pub(crate) async fn apply(nexus: &RedisNexus, tx: Transaction) {
    assert_eq!(commit(nexus, tx).await, Outcome::Applied);
}

/// Sends the same transaction until it is known to be in.
pub(crate) async fn commit_at_last(nexus: &RedisNexus, tx: Transaction) -> Outcome {
    eventually("the commit is answered", async || {
        try_commit(nexus, tx.clone(), Durability::Process).await.ok()
    })
    .await
}

pub(crate) async fn standing(nexus: &RedisNexus) -> Standing {
    eventually("the store says how it is", async || nexus.standing().await.ok()).await
}

pub(crate) async fn value(nexus: &RedisNexus, key: &str) -> Option<Vec<u8>> {
    let record = nexus
        .fetch(&space(), &[key.to_owned()])
        .await
        .unwrap()
        .remove(0)?;
    Some(record.bytes)
}

/// All sentences of an error and its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

pub(crate) fn tx(id: u64, class: Class) -> Transaction {
    Transaction::new(TxId(id), class)
}

/// A job-like change: a record that must be new, its place, its fact.
pub(crate) fn submit(id: u64, bytes: usize) -> Transaction {
    let mut tx = tx(id, Class::Growth);
    tx.guards = vec![Guard::Record(format!("job/{id}"), None)];
    tx.puts = vec![(format!("job/{id}"), vec![b'x'; bytes])];
    tx.moves = vec![place("lane/a", &id.to_string(), Some(id))];
    tx.appends = vec![append("journal", &id.to_string(), b"submitted")];
    tx
}

/// The end of a job: its record changes, guarded by the version that it had.
pub(crate) fn finish(id: u64, version: u64, bytes: usize) -> Transaction {
    let mut tx = tx(id, Class::Relief);
    tx.guards = vec![Guard::Record(format!("job/{version}"), Some(Version(version)))];
    tx.puts = vec![(format!("job/{version}"), vec![b'y'; bytes])];
    tx.moves = vec![place("lane/a", &version.to_string(), None)];
    tx.appends = vec![append("journal", &version.to_string(), b"finished")];
    tx
}

pub(crate) fn place(set: &str, member: &str, score: Option<u64>) -> Move {
    Move {
        set: set.to_owned(),
        member: member.to_owned(),
        score: score.map(Score::saturating),
    }
}

pub(crate) fn append(log: &str, thread: &str, bytes: &[u8]) -> Append {
    Append {
        log: log.to_owned(),
        thread: Some(thread.to_owned()),
        bytes: bytes.to_vec(),
    }
}

pub(crate) fn demand(n: usize) -> Demand {
    Demand {
        sets: vec!["lane/a".to_owned()],
        n,
        up_to: Score::MAX,
        hold: Hold {
            set: "held".to_owned(),
            until: Score::MAX,
        },
        with: vec!["job/".to_owned()],
    }
}
