//! Servers that come and go: restarts, failovers, members of a cluster.

use std::time::Duration;

use hiveforge_nexus::{Hint, Nexus as _, NexusError, Outcome, RedisConfig, RedisServers};
use servers::{AppendOnly, Cluster, Proxy, Redis, RedisOptions, SERVICE, Sentinels, redis_or_skip};

use crate::world::{
    commit, commit_at_last, config, eventually, open, server, space, standing, submit, try_commit, value,
    world,
};

#[tokio::test]
async fn after_kill_9_and_a_restart_the_era_is_another_and_work_goes_on() {
    if !redis_or_skip() {
        return;
    }
    let world = world(RedisOptions {
        append_only: AppendOnly::Always,
        ..RedisOptions::default()
    });
    assert_eq!(commit(&world.nexus, submit(1, 9)).await, Outcome::Applied);
    let before = standing(&world.nexus).await.era;
    assert_eq!(standing(&world.nexus).await.era, before);
    world.redis.kill9().unwrap();
    let refused = try_commit(&world.nexus, submit(2, 9), hiveforge_nexus::Durability::Disk).await;
    assert!(
        matches!(
            refused,
            Err(NexusError::Unavailable(_) | NexusError::OutcomeUnknown(_))
        ),
        "{refused:?}"
    );
    world.redis.restart().unwrap();
    assert_eq!(commit_at_last(&world.nexus, submit(2, 9)).await, Outcome::Applied);
    assert_eq!(value(&world.nexus, "job/1").await, Some(vec![b'x'; 9]));
    assert_ne!(standing(&world.nexus).await.era, before);
}

#[tokio::test]
async fn a_watcher_is_told_when_the_link_was_down_and_hears_again() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(RedisOptions::default()).unwrap();
    let proxy = Proxy::start(redis.addr()).unwrap();
    let nexus = open(config(proxy.addr()));
    let mut hints = nexus.watch(&space());
    for id in 1..4 {
        // Told once for each link that came up: what was said before may be lost.
        assert_eq!(hints.next().await, Some(Hint::Missed(0)));
        let mut tx = submit(id, 9);
        tx.hints = vec![format!("hint/{id}")];
        eventually("the commit goes through", async || {
            nexus
                .commit(&space(), vec![tx.clone()], hiveforge_nexus::Durability::Process)
                .await
                .ok()
        })
        .await;
        assert_eq!(hints.next().await, Some(Hint::Said(format!("hint/{id}").into())));
        proxy.cut_all();
    }
    nexus.close().await.unwrap();
}

#[tokio::test]
async fn the_sentinels_choice_is_followed() {
    if !redis_or_skip() {
        return;
    }
    let primary = Redis::start(RedisOptions::default()).unwrap();
    let _replica = primary.replica(RedisOptions::default()).unwrap();
    let sentinels = Sentinels::start(&primary, 3, 1, Duration::from_millis(800)).unwrap();
    let addrs = sentinels.addrs();
    let mut config = RedisConfig::new(RedisServers::Sentinel {
        sentinels: addrs.iter().map(|addr| server(*addr)).collect(),
        service: SERVICE.to_owned(),
    });
    config.replication.wait_max = Duration::from_secs(60);
    let nexus = open(config);
    let mut hints = nexus.watch(&space());
    assert_eq!(hints.next().await, Some(Hint::Missed(0)));
    let first = try_commit(&nexus, submit(1, 9), hiveforge_nexus::Durability::Disk).await;
    assert_eq!(first.unwrap(), Outcome::Applied);
    let before = standing(&nexus).await;
    assert_eq!(before.short_replications, 0);
    primary.kill9().unwrap();
    sentinels.wait_for_another_primary(primary.addr()).unwrap();
    assert_eq!(commit_at_last(&nexus, submit(2, 9)).await, Outcome::Applied);
    assert_eq!(value(&nexus, "job/1").await, Some(vec![b'x'; 9]));
    assert_ne!(standing(&nexus).await.era, before.era);
    assert_eq!(hints.next().await, Some(Hint::Missed(0)));
    let nobody = open(RedisConfig::new(RedisServers::Sentinel {
        sentinels: vec![server(addrs[0])],
        service: "another".to_owned(),
    }));
    let error = nobody.size(&space(), "lane/a").await.unwrap_err();
    assert!(
        crate::world::chain(&error).contains("does not know"),
        "{}",
        crate::world::chain(&error)
    );
}

#[tokio::test]
async fn a_slot_that_moves_within_a_cluster_is_followed() {
    if !redis_or_skip() {
        return;
    }
    let cluster = Cluster::start(3).unwrap();
    let nexus = open(RedisConfig::new(RedisServers::Cluster(vec![server(
        cluster.members[0].addr(),
    )])));
    let standing_of_all = standing(&nexus).await;
    assert!(
        standing_of_all.description.contains("one of 3 primaries"),
        "{standing_of_all:?}"
    );
    let key = "{hf:pool/default}n";
    let slot = cluster.members[0]
        .command(&["CLUSTER", "KEYSLOT", key])
        .unwrap()
        .integer()
        .unwrap()
        .to_string();
    let old = cluster.member_of(key).unwrap().addr();
    assert_eq!(nexus.size(&space(), "lane/a").await.unwrap(), 0);
    // Empty slots move without a migration of keys.
    let new = cluster
        .members
        .iter()
        .find(|member| member.addr() != old)
        .unwrap();
    let new_id = new.command(&["CLUSTER", "MYID"]).unwrap().text();
    for member in &cluster.members {
        member
            .command(&["CLUSTER", "SETSLOT", &slot, "NODE", &new_id])
            .unwrap();
    }
    assert_eq!(commit_at_last(&nexus, submit(1, 9)).await, Outcome::Applied);
    assert_eq!(
        new.command(&["EXISTS", "{hf:pool/default}r:job/1"])
            .unwrap()
            .integer(),
        Some(1)
    );
    new.kill9().unwrap();
    eventually("the loss is seen", async || {
        nexus.size(&space(), "lane/a").await.err()
    })
    .await;
    new.restart().unwrap();
    cluster.wait_until_whole().unwrap();
    eventually("the cluster serves again", async || {
        nexus.size(&space(), "lane/a").await.ok()
    })
    .await;
}
