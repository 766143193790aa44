//! A job whose record cannot be read: listed for people, counted, told in its history, and in nobody's way.

use domain::JobId;
use ledger::keys;
use nexus::{Class, Durability, MemoryNexus, Nexus as _, Space, Transaction, TxId};
use serde_json::Value;

use crate::agent::success;
use crate::world::World;

/// Makes the records of these jobs unreadable.
async fn damage(nexus: &MemoryNexus, ids: &[&JobId]) {
    let space = Space::new("pool/default").unwrap();
    let mut tx = Transaction::new(TxId(getrandom::u64().unwrap()), Class::Relief);
    let records = ids.iter().map(|id| (keys::job(id.ulid()), b"no record".to_vec()));
    tx.puts.extend(records);
    nexus.commit(&space, vec![tx], Durability::Disk).await.unwrap();
}

#[tokio::test]
async fn an_unreadable_job_is_listed_and_delays_nobody() {
    let (world, nexus) = World::with_nexus().await;
    let agent = world.agent("forge").await;
    let (damaged, sound) = (world.submit().await, world.submit().await);
    damage(&nexus, &[&damaged]).await;
    let lease = agent.one().await;
    assert_eq!(lease.job, sound);
    agent.finish(vec![success(&lease)]).await;
    let listed: Vec<Value> = world.say("GET", "/v1/quarantine").send().await.json();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["job"], damaged.to_string());
    assert_eq!(listed[0]["from"], keys::HELD);
    assert!(listed[0]["why"].as_str().unwrap().contains("format"));
    let shown = world.say("GET", &format!("/v1/jobs/{damaged}")).send().await;
    assert_eq!(
        (shown.status.as_u16(), shown.problem().code.as_str()),
        (500, "record_unreadable")
    );
}

#[tokio::test]
async fn a_job_behind_many_unreadable_ones_does_not_wait_a_look_for_each() {
    let (world, nexus) = World::with_nexus().await;
    let agent = world.agent("forge").await;
    let mut damaged = Vec::new();
    for _ in 0..100 {
        damaged.push(world.submit().await);
    }
    let sound = world.submit().await;
    damage(&nexus, &damaged.iter().collect::<Vec<_>>()).await;
    // One look for each would take more than a minute.
    let reply = agent.claim(1, 20_000).await;
    let jobs: Vec<&JobId> = reply.leases.iter().map(|lease| &lease.job).collect();
    assert_eq!(jobs, [&sound]);
}
