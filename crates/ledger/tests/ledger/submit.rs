//! Submitting: order, keys, crashes in the middle, no room.

use domain::{JobId, JobSpec};
use ledger::{Accepted, SubmitError};

use crate::pool::{Pool, keyed, retried, spec};

fn batch(n: usize) -> Vec<JobSpec> {
    (0..n)
        .map(|i| JobSpec {
            name: Some(format!("part-{i}")),
            ..spec()
        })
        .collect()
}

#[tokio::test]
async fn jobs_of_a_batch_are_claimed_in_the_order_in_which_they_were_given() {
    let pool = Pool::new();
    let ids = pool.submit(batch(5)).await;
    let claimed: Vec<JobId> = pool.claim(1, 5).await.into_iter().map(|g| g.job.id).collect();
    assert_eq!(claimed, ids);
    pool.check().await;
}

#[tokio::test]
async fn a_higher_priority_is_claimed_first() {
    let pool = Pool::new();
    pool.submit(batch(2)).await;
    let urgent = JobSpec {
        priority: 5,
        ..spec()
    };
    let urgent = pool.submit_one(urgent).await;
    assert_eq!(pool.claim(1, 1).await[0].job.id, urgent);
    pool.check().await;
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_ids_and_writes_nothing() {
    let pool = Pool::new();
    let request = keyed("release-7", batch(3));
    let first = pool.ledger.submit(std::slice::from_ref(&request)).await;
    let first = first.into_iter().next().unwrap().unwrap();
    assert!(!first.replayed);
    let before = pool.dump().await;
    pool.advance(std::time::Duration::from_secs(60));
    let again = pool.ledger.submit(std::slice::from_ref(&request)).await;
    let expected = Accepted {
        replayed: true,
        ..first
    };
    assert_eq!(again.into_iter().next().unwrap().unwrap(), expected);
    assert_eq!(pool.dump().await, before);
    pool.check().await;
}

#[tokio::test]
async fn a_request_whose_jobs_are_done_is_still_answered_with_their_ids() {
    let pool = Pool::new();
    let request = keyed("release-7", batch(1));
    let mut first = pool.ledger.submit(std::slice::from_ref(&request)).await;
    let ids = first.pop().unwrap().unwrap().ids;
    pool.claim(1, 1).await;
    pool.finish(&ids[0], 1, domain::job::RunEnd::Succeeded)
        .await
        .unwrap();
    let before = pool.dump().await;
    let mut again = pool.ledger.submit(&[request]).await;
    assert_eq!(again.pop().unwrap().unwrap().ids, ids);
    assert_eq!(pool.dump().await, before);
    pool.check().await;
}

#[tokio::test]
async fn the_same_key_for_another_content_is_refused() {
    let pool = Pool::new();
    pool.ledger.submit(&[keyed("k", batch(1))]).await;
    let before = pool.dump().await;
    let answers = pool
        .ledger
        .submit(&[keyed("k", vec![retried(7), retried(8)])])
        .await;
    assert!(matches!(answers[0], Err(SubmitError::Mismatch)));
    assert_eq!(pool.dump().await, before);
    pool.check().await;
}

#[tokio::test]
async fn keys_of_different_principals_are_different_keys() {
    let pool = Pool::new();
    let one = keyed("k", batch(1));
    let mut two = keyed("k", vec![retried(3)]);
    two.principal = "bob".parse().unwrap();
    let answers = pool.ledger.submit(&[one, two]).await;
    let ids: Vec<&JobId> = answers.iter().map(|a| &a.as_ref().unwrap().ids[0]).collect();
    assert_ne!(ids[0], ids[1]);
    pool.check().await;
}

#[tokio::test]
async fn one_key_twice_in_one_commit_makes_its_jobs_once() {
    let pool = Pool::new();
    let request = keyed("k", batch(2));
    let answers = pool
        .ledger
        .submit(&[request.clone(), request, keyed("k", batch(5))])
        .await;
    let (first, second) = (answers[0].as_ref().unwrap(), answers[1].as_ref().unwrap());
    assert_eq!(first.ids, second.ids);
    assert!(second.replayed);
    assert!(matches!(answers[2], Err(SubmitError::Mismatch)));
    assert_eq!(pool.set("jobs").await.len(), 2);
    pool.check().await;
}

#[tokio::test]
async fn a_repetition_completes_a_batch_that_was_torn_anywhere() {
    for applied in 0..=4 {
        let pool = Pool::new();
        let request = keyed("k", batch(3));
        pool.nexus.tear_after(applied);
        let torn = pool.ledger.submit(std::slice::from_ref(&request)).await;
        assert!(matches!(torn[0], Err(SubmitError::Ledger(_))), "{applied}");
        pool.nexus.heal();
        pool.check().await;
        pool.advance(std::time::Duration::from_millis(7));
        let mut again = pool.ledger.submit(&[request]).await;
        let ids = again.pop().unwrap().unwrap().ids;
        let listed: Vec<String> = ids.iter().map(|id| id.ulid().to_owned()).collect();
        assert_eq!(pool.set("jobs").await, listed, "{applied}");
        pool.check().await;
    }
}

#[tokio::test]
async fn a_lost_reply_makes_no_second_job() {
    let pool = Pool::new();
    pool.nexus.lose_replies(1);
    let ids = pool.submit(batch(2)).await;
    assert_eq!(pool.set("jobs").await.len(), ids.len());
    pool.check().await;
}

#[tokio::test]
async fn requests_whose_outcome_nobody_knows_are_not_made_anew() {
    let pool = Pool::new();
    let unkeyed = |specs| ledger::Submission {
        idempotency: None,
        ..keyed("-", specs)
    };
    // The commit and its repetition are both done, and both replies are lost.
    pool.nexus.lose_replies(2);
    let answers = pool.ledger.submit(&[unkeyed(batch(1)), unkeyed(batch(1))]).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(pool.set("jobs").await.len(), 2);
    pool.check().await;
}

#[tokio::test]
async fn one_request_that_the_nexus_rejects_does_not_spoil_the_others() {
    let pool = Pool::new();
    let huge = JobSpec::command(["x".repeat(nexus::limits::RECORD_BYTES_MAX)]);
    let answers = pool
        .ledger
        .submit(&[keyed("a", batch(1)), keyed("b", vec![huge]), keyed("c", batch(1))])
        .await;
    assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok());
    assert_eq!(pool.set("jobs").await.len(), 2);
    pool.check().await;
}

#[tokio::test]
async fn more_jobs_than_one_commit_carries_are_accepted() {
    let pool = Pool::new();
    let n = nexus::limits::BATCH_TRANSACTIONS_MAX + 1;
    let ids = pool.submit(batch(n)).await;
    assert_eq!(pool.set("jobs").await.len(), n);
    assert!(ids.is_sorted());
    pool.check().await;
}

#[tokio::test]
async fn without_room_nothing_is_accepted_and_nothing_is_half_done() {
    let pool = Pool::new();
    let old = keyed("old", batch(1));
    pool.ledger.submit(std::slice::from_ref(&old)).await;
    let before = pool.dump().await;
    pool.nexus.inner.set_full(true);
    let answers = pool.ledger.submit(&[keyed("new", batch(2)), old]).await;
    assert!(matches!(answers[0], Err(SubmitError::Full)));
    assert!(answers[1].as_ref().unwrap().replayed);
    assert_eq!(pool.dump().await, before);
    pool.nexus.inner.set_full(false);
    assert!(pool.ledger.submit(&[keyed("new", batch(2))]).await[0].is_ok());
    pool.check().await;
}

#[tokio::test]
async fn a_forgotten_key_does_not_make_a_half_done_request_look_done() {
    let pool = Pool::new();
    let request = keyed("k", batch(2));
    pool.nexus.tear_after(2);
    pool.ledger.submit(std::slice::from_ref(&request)).await;
    pool.nexus.heal();
    let day = std::time::Duration::from_secs(24 * 3600 + 1);
    pool.advance(day);
    // The first commit of the repetition finds the key; before the second one it is forgotten.
    let other = pool.other();
    pool.nexus.before_next_commit(async {});
    pool.nexus.before_next_commit(async move {
        other.forget_keys().await.unwrap();
    });
    let answers = pool.ledger.submit(&[request]).await;
    if let Ok(accepted) = &answers[0] {
        assert_eq!(pool.ledger.jobs(&ulids(&accepted.ids)).await.unwrap().len(), 2);
    }
    pool.check().await;
}

fn ulids(ids: &[JobId]) -> Vec<String> {
    ids.iter().map(|id| id.ulid().to_owned()).collect()
}
