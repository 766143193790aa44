//! Scripts that Redis has forgotten, long batches, and whatever bytes there are.

use futures_util::future::join_all;
use hiveforge_nexus::{Class, Discard, Durability, Guard, Nexus as _, NexusError, Outcome, Span};
use servers::{Proxy, Redis, RedisOptions, redis_or_skip};

use crate::world::{
    append, apply, commit, config, demand, finish, open, place, space, submit, try_commit, tx, value, world,
};

#[tokio::test]
async fn scripts_that_were_flushed_are_loaded_again() {
    if !redis_or_skip() {
        return;
    }
    let world = world(RedisOptions::default());
    apply(&world.nexus, submit(1, 9)).await;
    for round in 0..3 {
        world.redis.command(&["SCRIPT", "FLUSH"]).unwrap();
        apply(&world.nexus, submit(10 + round, 9)).await;
        world.redis.command(&["SCRIPT", "FLUSH"]).unwrap();
        let taken = world.nexus.take(&space(), vec![demand(1)]).await.unwrap();
        assert_eq!(taken[0].len(), 1);
        world.redis.command(&["SCRIPT", "FLUSH"]).unwrap();
        let journal = world
            .nexus
            .read_log(&space(), "journal", Span { from: 0, n: 9 })
            .await;
        assert_eq!(journal.unwrap().len() as u64, 2 + round);
    }
}

/// Callers share a connection and, with a replica, a pipeline: each call of it may find that the scripts are gone.
#[tokio::test]
async fn scripts_that_are_flushed_all_the_time_cost_nobody_a_commit() {
    const CALLERS: u64 = 20;
    if !redis_or_skip() {
        return;
    }
    let world = world(RedisOptions::default());
    let _replica = world.redis.replica(RedisOptions::default()).unwrap();
    let caller = async |caller: u64| {
        for round in 0..5 {
            if caller == 0 {
                world.redis.command(&["SCRIPT", "FLUSH"]).unwrap();
            }
            let id = 1 + caller * 100 + round;
            let both = vec![submit(id, 9), finish(100_000 + id, id, 9)];
            let outcomes = world
                .nexus
                .commit(&space(), both, Durability::Disk)
                .await
                .unwrap();
            assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied]);
        }
    };
    join_all((0..CALLERS).map(caller)).await;
    assert_eq!(
        world.nexus.log_len(&space(), "journal").await.unwrap(),
        2 * 5 * CALLERS
    );
}

#[tokio::test]
async fn a_batch_of_a_thousand_mixed_transactions_keeps_its_order() {
    if !redis_or_skip() {
        return;
    }
    let world = world(RedisOptions::default());
    // Each second one needs the version that its neighbour has just written.
    let batch: Vec<_> = (1..=500)
        .flat_map(|id| [submit(id, 2_000), finish(1_000 + id, id, 5)])
        .collect();
    let outcomes = world
        .nexus
        .commit(&space(), batch.clone(), Durability::Process)
        .await
        .unwrap();
    assert_eq!(outcomes, vec![Outcome::Applied; 1_000]);
    let again = world
        .nexus
        .commit(&space(), batch, Durability::Process)
        .await
        .unwrap();
    let refused = again
        .iter()
        .filter(|outcome| matches!(outcome, Outcome::Refused { .. }))
        .count();
    let already = again
        .iter()
        .filter(|outcome| **outcome == Outcome::Already)
        .count();
    // The records of the first kind were overwritten by the second.
    assert_eq!((refused, already), (500, 500));
    assert_eq!(world.nexus.log_len(&space(), "journal").await.unwrap(), 1_000);
    assert_eq!(world.nexus.size(&space(), "lane/a").await.unwrap(), 0);
}

#[tokio::test]
async fn any_bytes_and_any_names_come_back_as_they_were() {
    if !redis_or_skip() {
        return;
    }
    let world = world(RedisOptions::default());
    let all: Vec<u8> = (0..=255).collect();
    let name = "ä \r\n\"'{}[]*?%:/\u{10ffff}";
    let mut odd = tx(u64::MAX, Class::Growth);
    odd.puts = vec![(name.to_owned(), all.clone()), ("empty".to_owned(), Vec::new())];
    odd.moves = vec![
        place(name, name, Some(3)),
        place(&format!("{name}/{name}"), name, Some(4)),
    ];
    odd.appends = vec![append(name, name, &all), append(name, name, b"")];
    apply(&world.nexus, odd.clone()).await;
    assert_eq!(commit(&world.nexus, odd).await, Outcome::Already);
    assert_eq!(value(&world.nexus, name).await, Some(all.clone()));
    assert_eq!(value(&world.nexus, "empty").await, Some(Vec::new()));
    let thread = world
        .nexus
        .read_thread(&space(), name, name, Span { from: 0, n: 9 })
        .await
        .unwrap();
    assert_eq!(
        thread.iter().map(|entry| entry.bytes.clone()).collect::<Vec<_>>(),
        [all, Vec::new()]
    );
    let places = world
        .nexus
        .scores(&space(), name, &[name.to_owned()])
        .await
        .unwrap();
    assert_eq!(places[0].map(|score| score.get()), Some(3));
}

/// Of a batch of several runs the first one fails: what is left of it is not sent, and the connection is as good as before.
#[tokio::test]
async fn a_long_batch_that_is_refused_in_its_first_run_ends_there() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(RedisOptions::default()).unwrap();
    let proxy = Proxy::start(redis.addr()).unwrap();
    let nexus = open(config(proxy.addr()));
    assert_eq!(nexus.size(&space(), "lane/b").await.unwrap(), 0);
    redis
        .command(&["SET", "{hf:pool/default}s:lane/a", "no set"])
        .unwrap();
    let n_accepted = proxy.n_accepted();
    let batch = (1..=1_000).map(|id| submit(id, 2_000)).collect();
    let failed = nexus.commit(&space(), batch, Durability::Process).await;
    assert!(matches!(failed, Err(NexusError::Corrupt(_))), "{failed:?}");
    assert_eq!(nexus.log_len(&space(), "journal").await.unwrap(), 0);
    assert_eq!(proxy.n_accepted(), n_accepted);
}

/// More entries than one run removes, with threads, across the borders of segments.
#[tokio::test]
async fn a_long_log_is_trimmed_in_bounded_runs_and_nothing_stays_behind() {
    const ENTRIES: u64 = 3_500;
    if !redis_or_skip() {
        return;
    }
    let world = world(RedisOptions::default());
    for round in 0..7 {
        let mut many = tx(round + 1, Class::Relief);
        many.appends = (0..ENTRIES / 7)
            .map(|i| append("journal", &format!("t{}", i % 50), b"entry"))
            .collect();
        apply(&world.nexus, many).await;
    }
    let mut trim = tx(100, Class::Relief);
    trim.trims = vec![("journal".to_owned(), ENTRIES - 3)];
    apply(&world.nexus, trim).await;
    let left = world
        .nexus
        .read_log(&space(), "journal", Span { from: 0, n: 99 })
        .await
        .unwrap();
    assert_eq!(
        left.iter().map(|entry| entry.position).collect::<Vec<_>>(),
        [3_497, 3_498, 3_499]
    );
    for entry in &left {
        let thread = entry.thread.as_deref().unwrap();
        let found = world
            .nexus
            .read_thread(&space(), "journal", thread, Span { from: 0, n: 9 })
            .await
            .unwrap();
        assert_eq!(found, std::slice::from_ref(entry));
    }
    let segments = world.redis.command(&["KEYS", "{hf:pool/default}l:*"]).unwrap();
    assert_eq!(segments.items().len(), 1);
    let threads = world
        .redis
        .command(&["HLEN", "{hf:pool/default}t:journal"])
        .unwrap();
    assert_eq!(threads.integer(), Some(3));
    let mut drop_all = tx(101, Class::Relief);
    drop_all.guards = vec![Guard::LogLen("journal".to_owned(), ENTRIES)];
    drop_all.drops = vec![Discard::Log("journal".to_owned())];
    apply(&world.nexus, drop_all).await;
    let keys = world.redis.command(&["KEYS", "*"]).unwrap();
    assert_eq!(keys.items().len(), 0, "{keys:?}");
}

#[tokio::test]
async fn what_is_no_record_of_ours_is_said_to_be_corrupt() {
    if !redis_or_skip() {
        return;
    }
    let world = world(RedisOptions::default());
    world
        .redis
        .command(&["SET", "{hf:pool/default}s:lane/a", "no set"])
        .unwrap();
    let failed = try_commit(&world.nexus, submit(1, 9), Durability::Process).await;
    assert!(matches!(failed, Err(NexusError::Corrupt(_))), "{failed:?}");
}
