//! Leases whose agent never heard of them, and two coordinators: whichever decides first, stands.

use domain::State;
use domain::job::leases_set;

use crate::pool::{Pool, TTL, agent, spec};

#[tokio::test]
async fn a_lease_that_was_told_is_not_given_back() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    let granted = pool.claim(1, 1).await;
    let told = pool.other().tell(&agent(1).id, |_| false, TTL).await.unwrap();
    assert_eq!(told[0].job, granted[0].job);
    // In the same millisecond, and yet the deadline tells.
    assert!(told[0].deadline > granted[0].deadline);
    assert_eq!(pool.ledger.give_back_untold(&granted).await.unwrap(), 0);
    assert!(matches!(pool.state(&id).await, State::Running(_)));
    pool.check().await;
}

#[tokio::test]
async fn a_lease_that_was_given_back_is_not_told() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    let granted = pool.claim(1, 1).await;
    let (other, leases) = (pool.other(), granted.clone());
    // Between the reading of the leases and the word of them.
    pool.nexus.before_next_commit(async move {
        assert_eq!(other.give_back_untold(&leases).await.unwrap(), 1);
    });
    assert_eq!(pool.ledger.tell(&agent(1).id, |_| false, TTL).await.unwrap(), []);
    let job = pool.job(&id).await;
    assert_eq!((job.attempt, job.charged, job.given_back), (1, 0, 1));
    assert_eq!(pool.claim(2, 1).await[0].job.attempt, 2);
    pool.check().await;
}

#[tokio::test]
async fn a_lease_that_is_told_while_it_is_given_back_stays_with_its_agent() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    let granted = pool.claim(1, 1).await;
    let other = pool.other();
    pool.nexus.before_next_commit(async move {
        let told = other.tell(&agent(1).id, |_| false, TTL).await.unwrap();
        assert_eq!(told.len(), 1);
    });
    assert_eq!(pool.ledger.give_back_untold(&granted).await.unwrap(), 0);
    assert_eq!(pool.set(&leases_set(&agent(1).id)).await, [id.ulid()]);
    pool.check().await;
}

#[tokio::test]
async fn only_what_was_not_listed_is_told_and_a_lease_of_another_life_is_not_given_back() {
    let pool = Pool::new();
    let ids = pool.submit(vec![spec(); 2]).await;
    let granted = pool.claim(1, 2).await;
    let listed = ids[0].ulid().to_owned();
    let told = pool
        .ledger
        .tell(&agent(1).id, |ulid| ulid == listed, TTL)
        .await
        .unwrap();
    let told: Vec<_> = told.into_iter().map(|granted| granted.job.id).collect();
    assert_eq!(told, [ids[1].clone()]);
    pool.give_back(&ids[0], 1).await;
    pool.claim(1, 1).await;
    assert_eq!(pool.ledger.give_back_untold(&granted).await.unwrap(), 0);
    assert_eq!(pool.job(&ids[0]).await.attempt, 2);
    pool.check().await;
}
