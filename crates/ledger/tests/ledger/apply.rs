//! Single events and timers: cancels, rejections, jobs that wait for their time.

use std::time::Duration;

use domain::job::RunEnd;
use domain::{Cause, JobEvent, JobSpec, Refused, State};
use ledger::{Applied, ApplyError};

use crate::pool::{Pool, START, cancel, grouped, spec};

#[tokio::test]
async fn a_queued_job_is_cancelled_at_once_and_never_claimed() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    assert!(matches!(
        pool.ledger.apply(&id, cancel()).await,
        Ok(Applied::Moved(_))
    ));
    let before = pool.dump().await;
    assert!(matches!(
        pool.ledger.apply(&id, cancel()).await,
        Ok(Applied::Same(_))
    ));
    assert_eq!(pool.dump().await, before);
    assert!(pool.claim(1, 1).await.is_empty());
    pool.check().await;
}

#[tokio::test]
async fn a_finish_wins_over_a_cancel_that_came_too_late() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.cancel(&id).await;
    pool.finish(&id, 1, RunEnd::Succeeded).await.unwrap();
    assert!(matches!(pool.state(&id).await, State::Succeeded { .. }));
    let late = pool.ledger.apply(&id, cancel()).await;
    assert!(matches!(late, Err(ApplyError::Refused(Refused::Ended { .. }))));
    pool.check().await;
}

#[tokio::test]
async fn a_rejected_job_fails_with_its_cause() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    let cause = Cause::InputMissing {
        path: "data.bin".to_owned(),
    };
    let event = JobEvent::Rejected { cause: cause.clone() };
    pool.ledger.apply(&id, event).await.unwrap();
    assert!(matches!(pool.state(&id).await, State::Failed { cause: found, .. } if found == cause));
    pool.check().await;
}

#[tokio::test]
async fn an_event_for_an_unknown_job_says_so() {
    let pool = Pool::new();
    let id = "test-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap();
    let answer = pool.ledger.apply(&id, cancel()).await;
    assert!(matches!(answer, Err(ApplyError::Unknown(unknown)) if unknown == id));
}

#[tokio::test]
async fn an_event_that_meets_another_is_decided_anew() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    let (other, job) = (pool.other(), id.clone());
    pool.nexus.before_next_commit(async move {
        other.apply(&job, cancel()).await.unwrap();
    });
    assert!(matches!(
        pool.ledger.apply(&id, cancel()).await,
        Ok(Applied::Same(_))
    ));
    pool.check().await;
}

#[tokio::test]
async fn a_job_is_not_claimable_before_its_time_and_is_after_it() {
    let pool = Pool::new();
    let hour = Duration::from_secs(3600);
    let later = JobSpec {
        not_before: Some(START.plus(hour)),
        ..spec()
    };
    let id = pool.submit_one(later).await;
    pool.advance(hour - Duration::from_millis(1));
    assert_eq!(pool.ledger.fire_timers().await.unwrap(), 0);
    assert!(pool.claim(1, 1).await.is_empty());
    pool.check().await;
    pool.advance(Duration::from_millis(1));
    assert_eq!(pool.ledger.fire_timers().await.unwrap(), 1);
    assert_eq!(pool.ledger.fire_timers().await.unwrap(), 0);
    assert_eq!(pool.claim(1, 1).await[0].job.id, id);
    pool.check().await;
}

#[tokio::test]
async fn a_timer_that_two_fire_is_fired_once() {
    let pool = Pool::new();
    let later = JobSpec {
        not_before: Some(START.plus(Duration::from_secs(1))),
        ..grouped("licence", 1)
    };
    let id = pool.submit_one(later).await;
    pool.advance(Duration::from_secs(1));
    let other = pool.other();
    pool.nexus.before_next_commit(async move {
        assert_eq!(other.fire_timers().await.unwrap(), 1);
    });
    assert_eq!(pool.ledger.fire_timers().await.unwrap(), 0);
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 1);
    assert_eq!(pool.claim(1, 1).await[0].job.id, id);
    pool.check().await;
}
