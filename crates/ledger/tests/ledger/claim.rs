//! Claims: who gets what, and what is left behind when a claim breaks off.

use std::collections::BTreeSet;

use domain::State;
use ledger::{Claims, HOLD};

use crate::pool::{Pool, TTL, agent, cancel, spec};

#[tokio::test]
async fn a_claim_makes_the_job_run_under_its_agent_until_the_ttl() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    let granted = pool.claim(1, 3).await;
    assert_eq!(granted.len(), 1);
    assert_eq!(granted[0].job, pool.job(&id).await);
    assert_eq!(granted[0].spec, spec());
    assert_eq!(granted[0].job.attempt, 1);
    let dump = pool.dump().await;
    let leases = &dump.sets[&domain::job::leases_set(&agent(1).id)];
    let deadline = leases.first().unwrap().0.get();
    assert_eq!(deadline, pool.now().plus(TTL).as_millis());
    pool.check().await;
}

#[tokio::test]
async fn claimants_of_one_take_share_the_jobs_and_none_is_given_twice() {
    let pool = Pool::new();
    pool.submit(vec![spec(); 3]).await;
    let claimants = [pool.claimant(1, 2).await, pool.claimant(2, 2).await];
    let claimed = pool.claim_for(&claimants).await;
    let granted: Vec<_> = claimed.into_iter().map(|claimed| claimed.leases).collect();
    assert_eq!((granted[0].len(), granted[1].len()), (2, 1));
    let ids: BTreeSet<_> = granted.iter().flatten().map(|g| g.job.id.clone()).collect();
    assert_eq!(ids.len(), 3);
    pool.check().await;
}

#[tokio::test]
async fn a_claim_that_crashed_after_the_take_gives_the_job_back_after_the_hold() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(spec()).await;
    // The clock, the take and the drain intent are answered, the commit is not.
    let claimant = pool.claimant(1, 1).await;
    pool.nexus.crash_after(3);
    assert!(pool.ledger.claim(&[claimant], TTL).await.is_err());
    pool.nexus.heal();
    assert_eq!(pool.set("held").await, [id.ulid()]);
    pool.check().await;
    assert!(pool.claim(2, 1).await.is_empty());
    assert_eq!(pool.reap_for(HOLD).await.returned, 1);
    assert_eq!(pool.claim(2, 1).await[0].job.id, id);
    pool.check().await;
}

#[tokio::test]
async fn a_claim_whose_hold_was_ended_meanwhile_gets_nothing() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(spec()).await;
    let (other, advance) = (pool.other(), pool.clock_hand());
    pool.nexus.before_next_commit(async move {
        advance(HOLD);
        assert_eq!(other.reap(TTL).await.unwrap().returned, 1);
    });
    assert!(pool.claim(1, 1).await.is_empty());
    assert!(matches!(pool.state(&id).await, State::Queued { .. }));
    pool.check().await;
    assert_eq!(pool.claim(2, 1).await[0].job.id, id);
    pool.check().await;
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_it_is_held_is_not_claimed() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(spec()).await;
    let (other, job) = (pool.other(), id.clone());
    pool.nexus.before_next_commit(async move {
        other.apply(&job, cancel()).await.unwrap();
    });
    assert!(pool.claim(1, 1).await.is_empty());
    pool.check().await;
    assert_eq!(pool.reap_for(HOLD).await.returned, 1);
    assert!(pool.set("held").await.is_empty());
    assert!(matches!(pool.state(&id).await, State::Cancelled { .. }));
    pool.check().await;
}

#[tokio::test]
async fn a_claim_that_was_not_heard_is_found_by_its_agent() {
    let pool = Pool::new();
    let ids = pool.submit(vec![spec(); 2]).await;
    let claimant = pool.claimant(1, 2).await;
    pool.nexus.lose_replies(2);
    assert!(pool.ledger.claim(&[claimant], TTL).await.is_err());
    let leases = pool.ledger.leases_of(&agent(1).id, |_| false).await.unwrap();
    let found: Vec<_> = leases.iter().map(|g| g.job.id.clone()).collect();
    assert_eq!(found, ids);
    let listed = ids[0].ulid().to_owned();
    let rest = pool
        .ledger
        .leases_of(&agent(1).id, |ulid| ulid == listed)
        .await
        .unwrap();
    assert_eq!(rest.len(), 1);
    assert!(
        pool.ledger
            .leases_of(&agent(2).id, |_| false)
            .await
            .unwrap()
            .is_empty()
    );
    pool.check().await;
}

#[tokio::test]
async fn a_lost_reply_of_the_commit_is_asked_for_again() {
    let pool = Pool::new();
    pool.submit_one(spec()).await;
    let claimant = pool.claimant(1, 1).await;
    pool.nexus.lose_replies(1);
    let claimed = pool.claim_for(&[claimant]).await;
    assert_eq!(claimed[0].leases.len(), 1);
    pool.check().await;
}

#[tokio::test]
async fn more_is_asked_for_than_the_nexus_answers_at_once() {
    let pool = Pool::new();
    let n = nexus::limits::BATCH_TRANSACTIONS_MAX + 1;
    pool.submit(vec![spec(); n]).await;
    let claimants = [pool.claimant(1, n).await, pool.claimant(2, usize::MAX).await];
    let claimed = pool.claim_for(&claimants).await;
    assert_eq!((claimed[0].leases.len(), claimed[1].leases.len()), (n, 0));
    pool.check().await;
}

#[tokio::test]
async fn a_job_given_back_is_claimed_again_under_the_next_number() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.give_back(&id, 1).await;
    pool.give_back(&id, 1).await;
    let again = pool.claim(2, 1).await;
    assert_eq!(
        (
            again[0].job.attempt,
            again[0].job.charged,
            again[0].job.given_back
        ),
        (2, 0, 1)
    );
    pool.check().await;
}

#[tokio::test]
async fn lanes_are_listed_while_they_have_claimable_jobs() {
    let pool = Pool::new();
    assert!(pool.ledger.lanes().await.unwrap().is_empty());
    let id = pool.submit_one(spec()).await;
    assert_eq!(pool.ledger.lanes().await.unwrap(), [pool.job(&id).await.lane]);
    pool.claim(1, 1).await;
    assert!(pool.ledger.lanes().await.unwrap().is_empty());
    pool.check().await;
}

#[tokio::test]
async fn a_claim_that_is_older_than_the_drain_intent_gets_nothing_and_holds_nothing_up() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    let (drained, other) = (pool.claimant(1, 2).await, pool.claimant(2, 1).await);
    pool.ledger.set_draining(&agent(1).name, true).await.unwrap();
    let claimed = pool.claim_for(&[drained]).await;
    assert_eq!((claimed[0].leases.len(), claimed[0].draining), (0, true));
    let claimed = pool.claim_for(&[other]).await;
    assert_eq!((&claimed[0].leases[0].job.id, claimed[0].draining), (&id, false));
    pool.check().await;
}

#[tokio::test]
async fn a_failure_of_a_later_batch_takes_nothing_from_what_was_committed() {
    let pool = Pool::with_reapers().await;
    let n = nexus::limits::BATCH_TRANSACTIONS_MAX;
    pool.submit(vec![spec(); n + 1]).await;
    let claimant = pool.claimant(1, n + 1).await;
    // The clock, the take, the drain intent and the first batch are answered.
    pool.nexus.crash_after(4);
    let claimed = pool.ledger.claim(&[claimant], TTL).await.unwrap().claimed;
    pool.nexus.heal();
    assert_eq!(claimed[0].leases.len(), n);
    assert_eq!(pool.reap_for(HOLD).await.returned, 1);
}

#[tokio::test]
async fn claimants_of_which_one_take_is_too_small_are_left_for_another_claim() {
    let pool = Pool::new();
    pool.submit(vec![spec(); 2]).await;
    let claimants = [pool.claimant(1, 1).await, pool.claimant(2, usize::MAX).await];
    let claims: Claims = pool.ledger.claim(&claimants, TTL).await.unwrap();
    assert_eq!((claims.claimed.len(), claims.claimed[0].leases.len()), (1, 1));
    assert!(claims.unwanted.is_empty());
    assert_eq!(pool.claim_for(&claimants[1..]).await[0].leases.len(), 1);
}
