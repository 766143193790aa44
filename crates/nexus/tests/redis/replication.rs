//! Replicas: durable commits wait for them, share the wait, and are acknowledged all the same when it was in vain.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::{join, join_all};
use hiveforge_nexus::{Durability, Nexus as _, NexusError, Outcome, RedisConfig};
use servers::{Direction, Flow, Proxy, Redis, RedisOptions, redis_or_skip};
use tokio::time::timeout;

use crate::world::{
    commit, commit_at_last, config, eventually, open, space, standing, submit, try_commit, value,
};

fn pair() -> (Redis, Redis) {
    let primary = Redis::start(RedisOptions::default()).unwrap();
    let replica = primary.replica(RedisOptions::default()).unwrap();
    (primary, replica)
}

/// Waits for replicas as long as a busy machine may need.
fn patient(addr: SocketAddr) -> RedisConfig {
    let mut config = config(addr);
    config.replication.wait_max = Duration::from_secs(60);
    config
}

fn n_waits(redis: &Redis) -> u64 {
    let stats = redis.info("commandstats").unwrap();
    let Some(wait) = stats.get("cmdstat_wait") else {
        return 0;
    };
    let calls = wait.split(',').find_map(|part| part.strip_prefix("calls="));
    calls.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_durable_commit_is_on_the_replica_when_it_is_acknowledged() {
    if !redis_or_skip() {
        return;
    }
    let (primary, replica) = pair();
    let nexus = open(patient(primary.addr()));
    for id in 1..20 {
        assert_eq!(
            try_commit(&nexus, submit(id, 9), Durability::Disk).await.unwrap(),
            Outcome::Applied
        );
        let found = replica
            .command(&["EXISTS", &format!("{{hf:pool/default}}r:job/{id}")])
            .unwrap();
        assert_eq!(found.integer(), Some(1));
    }
    let standing = standing(&nexus).await;
    assert_eq!(standing.short_replications, 0);
    assert!(
        standing.description.contains("primary of 1 replica"),
        "{standing:?}"
    );
    assert!(standing.durability.contains("1 replica has it"), "{standing:?}");
}

#[tokio::test]
async fn a_wait_in_vain_is_counted_and_shared() {
    const CALLERS: u64 = 20;
    if !redis_or_skip() {
        return;
    }
    let (primary, replica) = pair();
    let mut config = config(primary.addr());
    config.replication.wait_max = Duration::from_millis(500);
    let nexus = open(config);
    assert_eq!(
        try_commit(&nexus, submit(1, 9), Durability::Disk).await.unwrap(),
        Outcome::Applied
    );
    replica.pause().unwrap();
    let before = (n_waits(&primary), standing(&nexus).await.short_replications);
    let caller = |id| try_commit(&nexus, submit(id, 9), Durability::Disk);
    let outcomes = join_all((2..2 + CALLERS).map(caller)).await;
    replica.resume().unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Ok(Outcome::Applied))),
        "{outcomes:?}"
    );
    assert_eq!(standing(&nexus).await.short_replications - before.1, CALLERS);
    let waits = n_waits(&primary) - before.0;
    assert!(waits <= CALLERS / 2, "{waits} waits for {CALLERS} commits");
}

#[tokio::test]
async fn a_batch_of_many_runs_waits_once() {
    if !redis_or_skip() {
        return;
    }
    let (primary, replica) = pair();
    let nexus = open(patient(primary.addr()));
    let mut batch: Vec<_> = (1..=1_000).map(|id| submit(id, 2_000)).collect();
    batch[999].trims = vec![("journal".to_owned(), 900)];
    let outcomes = nexus.commit(&space(), batch, Durability::Disk).await.unwrap();
    assert_eq!(outcomes, vec![Outcome::Applied; 1_000]);
    assert_eq!(n_waits(&primary), 1);
    let found = replica
        .command(&["EXISTS", "{hf:pool/default}r:job/1000"])
        .unwrap();
    assert_eq!(found.integer(), Some(1));
    assert_eq!(standing(&nexus).await.short_replications, 0);
}

#[tokio::test]
async fn commits_that_need_no_disk_do_not_wait() {
    if !redis_or_skip() {
        return;
    }
    let (primary, _replica) = pair();
    let nexus = open(config(primary.addr()));
    for id in 1..20 {
        assert_eq!(commit(&nexus, submit(id, 9)).await, Outcome::Applied);
    }
    assert_eq!(n_waits(&primary), 0);
}

#[tokio::test]
async fn a_replica_takes_nothing_until_it_is_promoted() {
    if !redis_or_skip() {
        return;
    }
    let (primary, replica) = pair();
    let nexus = open(config(replica.addr()));
    let refused = try_commit(&nexus, submit(1, 9), Durability::Process).await;
    assert!(
        matches!(&refused, Err(error @ NexusError::Unavailable(_)) if error.unfit().is_none()),
        "{refused:?}"
    );
    primary.kill9().unwrap();
    replica.promote().unwrap();
    assert_eq!(commit_at_last(&nexus, submit(1, 9)).await, Outcome::Applied);
}

/// What only the old primary has is thrown away when it becomes a replica: to count it as short of a replica is not enough.
#[tokio::test]
async fn a_commit_whose_primary_is_demoted_while_it_waits_is_not_acknowledged() {
    if !redis_or_skip() {
        return;
    }
    let (primary, replica) = pair();
    let nexus = open(patient(primary.addr()));
    assert_eq!(
        try_commit(&nexus, submit(1, 9), Durability::Disk).await.unwrap(),
        Outcome::Applied
    );
    replica.pause().unwrap();
    let waiting = try_commit(&nexus, submit(2, 9), Durability::Disk);
    let demote = async {
        eventually("the commit waits for the replica", async || {
            (primary.info("clients").unwrap()["blocked_clients"] == "1").then_some(())
        })
        .await;
        let port = replica.addr().port().to_string();
        primary.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    };
    let (lost, ()) = join(waiting, demote).await;
    replica.resume().unwrap();
    assert!(matches!(lost, Err(NexusError::OutcomeUnknown(_))), "{lost:?}");
}

/// `WAIT` may concern only what its own connection wrote, and the one on which the first try was written is gone.
#[tokio::test]
async fn a_repetition_is_written_again_so_that_its_wait_means_something() {
    if !redis_or_skip() {
        return;
    }
    let (primary, _replica) = pair();
    let nexus = open(patient(primary.addr()));
    let outcome = try_commit(&nexus, submit(1, 9), Durability::Disk).await.unwrap();
    assert_eq!(outcome, Outcome::Applied);
    let position = || {
        primary.info("replication").unwrap()["master_repl_offset"]
            .parse::<u64>()
            .unwrap()
    };
    for _ in 0..3 {
        let before = position();
        let again = try_commit(&nexus, submit(1, 9), Durability::Disk).await.unwrap();
        assert_eq!(again, Outcome::Already);
        assert!(
            primary
                .info("commandstats")
                .unwrap()
                .contains_key("cmdstat_setrange")
        );
        assert!(position() > before);
    }
    assert_eq!(value(&nexus, "job/1").await, Some(vec![b'x'; 9]));
}

/// Redis holds the replies back, so the second commit is still to be sent when its caller goes away.
#[tokio::test]
async fn a_commit_whose_caller_has_gone_is_not_sent_later() {
    if !redis_or_skip() {
        return;
    }
    let (primary, _replica) = pair();
    let proxy = Proxy::start(primary.addr()).unwrap();
    let nexus = open(patient(proxy.addr()));
    assert_eq!(
        try_commit(&nexus, submit(1, 9), Durability::Disk).await.unwrap(),
        Outcome::Applied
    );
    proxy.set(Direction::ToClient, Flow::Hold);
    let first = try_commit(&nexus, submit(2, 9), Durability::Disk);
    let impatient = async {
        eventually("the first is with Redis", async || {
            let found = primary.command(&["EXISTS", "{hf:pool/default}r:job/2"]).unwrap();
            (found.integer() == Some(1)).then_some(())
        })
        .await;
        let second = Box::pin(try_commit(&nexus, submit(3, 9), Durability::Disk));
        assert!(timeout(Duration::from_millis(100), second).await.is_err());
        proxy.heal().unwrap();
    };
    let (first, ()) = join(first, impatient).await;
    assert_eq!(first.unwrap(), Outcome::Applied);
    assert_eq!(
        try_commit(&nexus, submit(4, 9), Durability::Disk).await.unwrap(),
        Outcome::Applied
    );
    assert_eq!(value(&nexus, "job/3").await, None);
}

/// A primary that becomes a replica under open connections refuses writes; nothing is taken for done.
#[tokio::test]
async fn a_primary_that_was_demoted_is_let_go() {
    if !redis_or_skip() {
        return;
    }
    let (primary, replica) = pair();
    let nexus = open(patient(primary.addr()));
    assert_eq!(
        try_commit(&nexus, submit(1, 9), Durability::Disk).await.unwrap(),
        Outcome::Applied
    );
    replica.promote().unwrap();
    let port = replica.addr().port().to_string();
    primary.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    let refused = try_commit(&nexus, submit(2, 9), Durability::Process).await;
    assert!(matches!(refused, Err(NexusError::Unavailable(_))), "{refused:?}");
    primary.promote().unwrap();
    eventually("the old primary is one again", async || {
        let outcome = try_commit(&nexus, submit(3, 9), Durability::Process).await.ok()?;
        (outcome == Outcome::Applied).then_some(())
    })
    .await;
    // What became of the first one is between the two servers: the test cut into their synchronization.
    assert_eq!(value(&nexus, "job/2").await, None);
    assert_eq!(value(&nexus, "job/3").await, Some(vec![b'x'; 9]));
}
