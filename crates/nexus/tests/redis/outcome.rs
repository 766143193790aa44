//! Lost replies: nobody knows whether the commit happened, and the same transaction, sent again, tells.

use hiveforge_nexus::{Durability, Nexus as _, NexusError, Outcome, Span};
use servers::{Direction, Door, Flow, Proxy, Redis, RedisOptions, redis_or_skip};

use crate::world::{commit, commit_at_last, config, open, space, submit, try_commit};

#[tokio::test]
async fn a_commit_whose_reply_was_lost_resolves_to_already() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(RedisOptions::default()).unwrap();
    let proxy = Proxy::start(redis.addr()).unwrap();
    let nexus = open(config(proxy.addr()));
    assert_eq!(commit(&nexus, submit(1, 9)).await, Outcome::Applied);
    for id in 2..5 {
        proxy.cut_after_next_request(b"EVALSHA");
        let lost = try_commit(&nexus, submit(id, 9), Durability::Disk).await;
        assert!(matches!(lost, Err(NexusError::OutcomeUnknown(_))), "{lost:?}");
        assert_eq!(commit_at_last(&nexus, submit(id, 9)).await, Outcome::Already);
    }
    let journal = nexus
        .read_log(&space(), "journal", Span { from: 0, n: 9 })
        .await
        .unwrap();
    assert_eq!(journal.len(), 4);
}

#[tokio::test]
async fn a_commit_whose_reply_never_comes_is_given_up_and_resolves_to_already() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(RedisOptions::default()).unwrap();
    let proxy = Proxy::start(redis.addr()).unwrap();
    let nexus = open(config(proxy.addr()));
    assert_eq!(commit(&nexus, submit(1, 9)).await, Outcome::Applied);
    proxy.set(Direction::ToClient, Flow::Drop);
    let lost = try_commit(&nexus, submit(2, 9), Durability::Process).await;
    assert!(matches!(lost, Err(NexusError::OutcomeUnknown(_))), "{lost:?}");
    proxy.heal().unwrap();
    assert_eq!(commit_at_last(&nexus, submit(2, 9)).await, Outcome::Already);
}

#[tokio::test]
async fn a_redis_that_is_away_refuses_at_once_and_takes_calls_when_it_is_back() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(RedisOptions::default()).unwrap();
    let proxy = Proxy::start(redis.addr()).unwrap();
    proxy.set_door(Door::Refuse).unwrap();
    let nexus = open(config(proxy.addr()));
    for id in 1..20 {
        let refused = try_commit(&nexus, submit(id, 9), Durability::Disk).await;
        assert!(matches!(refused, Err(NexusError::Unavailable(_))), "{refused:?}");
    }
    assert!(matches!(nexus.now().await, Err(NexusError::Unavailable(_))));
    assert!(matches!(nexus.standing().await, Err(NexusError::Unavailable(_))));
    proxy.heal().unwrap();
    assert_eq!(commit_at_last(&nexus, submit(1, 9)).await, Outcome::Applied);
}

#[tokio::test]
async fn a_read_that_is_not_answered_is_unavailable_and_the_next_one_dials_again() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(RedisOptions::default()).unwrap();
    let proxy = Proxy::start(redis.addr()).unwrap();
    let nexus = open(config(proxy.addr()));
    assert_eq!(nexus.size(&space(), "lane/a").await.unwrap(), 0);
    for _ in 0..3 {
        proxy.cut_after_next_request(b"ZCARD");
        let failed = nexus.size(&space(), "lane/a").await;
        assert!(matches!(failed, Err(NexusError::Unavailable(_))), "{failed:?}");
        crate::world::eventually("reads work again", async || {
            nexus.size(&space(), "lane/a").await.ok()
        })
        .await;
    }
}
