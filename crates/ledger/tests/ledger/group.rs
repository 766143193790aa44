//! Groups: never more than the limit at once, and nobody waits for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::job::{RunEnd, group_set, waiting_set};
use domain::{Cause, GroupName, JobId};
use proptest::prelude::*;

use crate::pool::{BEAT, Pool, TTL, cancel, grouped};

fn licence() -> GroupName {
    "licence".parse().unwrap()
}

#[tokio::test]
async fn a_group_admits_its_oldest_jobs_up_to_the_limit() {
    let pool = Pool::new();
    let ids = pool.submit(vec![grouped("licence", 2); 4]).await;
    assert!(pool.claim(1, 4).await.is_empty());
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 2);
    pool.check().await;
    let claimed: Vec<JobId> = pool.claim(1, 4).await.into_iter().map(|g| g.job.id).collect();
    assert_eq!(claimed, ids[..2]);
    pool.advance(BEAT);
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 0);
    pool.finish(&ids[0], 1, RunEnd::Succeeded).await.unwrap();
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 1);
    assert_eq!(pool.claim(1, 4).await[0].job.id, ids[2]);
    pool.check().await;
}

#[tokio::test]
async fn a_job_that_is_tried_again_keeps_its_place_in_the_group() {
    let pool = Pool::new();
    let twice = domain::JobSpec {
        max_attempts: 2,
        ..grouped("licence", 1)
    };
    let ids = pool.submit(vec![twice; 2]).await;
    pool.ledger.follow_up().await.unwrap();
    pool.claim(1, 1).await;
    pool.finish(&ids[0], 1, RunEnd::Failed(Cause::Disk))
        .await
        .unwrap();
    pool.advance(BEAT);
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 0);
    assert_eq!(pool.claim(1, 2).await[0].job.id, ids[0]);
    pool.check().await;
}

#[tokio::test]
async fn an_end_that_comes_while_the_group_is_served_is_not_missed() {
    let pool = Pool::new();
    let ids = pool.submit(vec![grouped("licence", 1); 2]).await;
    pool.ledger.follow_up().await.unwrap();
    pool.claim(1, 1).await;
    pool.advance(BEAT);
    // It finds no room; the job ends before it puts the follow-up off.
    let (other, job, advance) = (pool.other(), ids[0].clone(), pool.clock_hand());
    for _ in 0..2 {
        pool.nexus.before_next_commit(async {});
    }
    pool.nexus.before_next_commit(async move {
        advance(Duration::from_millis(1));
        let item = crate::pool::ended(&job, 1, RunEnd::Succeeded);
        assert!(other.finish(&[item]).await[0].is_ok());
    });
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 0);
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 1);
    assert_eq!(pool.claim(1, 1).await[0].job.id, ids[1]);
    pool.check().await;
}

#[tokio::test]
async fn a_job_that_begins_to_wait_while_the_group_is_served_is_not_missed() {
    let pool = Pool::new();
    let first = pool.submit_one(grouped("licence", 1)).await;
    pool.ledger.follow_up().await.unwrap();
    pool.claim(1, 1).await;
    pool.finish(&first, 1, RunEnd::Succeeded).await.unwrap();
    let other = pool.other();
    pool.nexus.before_next_commit(async move {
        let request = ledger::Submission {
            idempotency: None,
            ..crate::pool::keyed("-", vec![grouped("licence", 1)])
        };
        assert!(other.submit(&[request]).await[0].is_ok());
    });
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 0);
    pool.advance(BEAT);
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 1);
    pool.check().await;
}

#[tokio::test]
async fn two_that_serve_a_group_do_not_admit_too_many() {
    let pool = Pool::new();
    pool.submit(vec![grouped("licence", 1); 3]).await;
    let other = pool.other();
    pool.nexus.before_next_commit(async move {
        assert_eq!(other.follow_up().await.unwrap(), 1);
    });
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 0);
    assert_eq!(pool.set(&group_set(&licence())).await.len(), 1);
    pool.check().await;
}

#[tokio::test]
async fn a_cancelled_job_in_the_middle_stops_nobody() {
    let pool = Pool::new();
    let ids = pool.submit(vec![grouped("licence", 3); 3]).await;
    let (other, job) = (pool.other(), ids[0].clone());
    pool.nexus.before_next_commit(async move {
        other.apply(&job, cancel()).await.unwrap();
    });
    pool.ledger.follow_up().await.unwrap();
    pool.advance(BEAT);
    pool.ledger.follow_up().await.unwrap();
    assert_eq!(pool.claim(1, 3).await.len(), 2);
    assert!(pool.set(&waiting_set(&licence())).await.is_empty());
    pool.check().await;
}

/// What may happen between two looks at a group.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Submit,
    Claim,
    Finish,
    Fail,
    GiveBack,
    Cancel,
    Serve,
    Silence,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        Just(Happening::Submit),
        Just(Happening::Claim),
        Just(Happening::Finish),
        Just(Happening::Fail),
        Just(Happening::GiveBack),
        Just(Happening::Cancel),
        Just(Happening::Serve),
        Just(Happening::Silence),
    ]
}

async fn happens(pool: &Pool, what: Happening, limit: u32) {
    let running = || async {
        let leases = pool.other().leases_of(&crate::pool::agent(1).id, |_| false).await;
        leases.unwrap().into_iter().next().map(|lease| lease.job)
    };
    let end = |end| async {
        if let Some(job) = running().await {
            pool.finish(&job.id, job.attempt, end).await.unwrap();
        }
    };
    match what {
        Happening::Submit => {
            let spec = domain::JobSpec {
                max_attempts: 2,
                ..grouped("licence", limit)
            };
            pool.submit_one(spec).await;
        }
        Happening::Claim => drop(pool.claim(1, 1).await),
        Happening::Finish => end(RunEnd::Succeeded).await,
        Happening::Fail => end(RunEnd::Failed(Cause::Disk)).await,
        Happening::GiveBack => {
            if let Some(job) = running().await {
                pool.give_back(&job.id, job.attempt).await;
            }
        }
        Happening::Cancel => {
            let page = pool.ledger.page(None, None, 50).await.unwrap();
            let open = page.jobs.iter().find(|job| !job.state.name().is_terminal());
            if let Some(job) = open {
                pool.cancel(&job.id).await;
            }
        }
        Happening::Serve => drop(pool.ledger.follow_up().await.unwrap()),
        Happening::Silence => drop(pool.reap_for(TTL).await),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_limit_holds_at_every_instant_and_in_the_end_nobody_waits(
        limit in 1u32..4,
        happenings in prop::collection::vec(happening(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let pool = Pool::with_reapers().await;
            for what in happenings {
                happens(&pool, what, limit).await;
                let inside: BTreeSet<String> = pool.set(&group_set(&licence())).await.into_iter().collect();
                assert!(inside.len() <= limit as usize, "{what:?}");
                pool.check().await;
            }
            drain(&pool).await;
            assert!(pool.set(&waiting_set(&licence())).await.is_empty());
            assert!(pool.set(&group_set(&licence())).await.is_empty());
            pool.check().await;
        });
    }
}

/// Lets everybody work until nothing is left to do; panics if that does not happen.
async fn drain(pool: &Pool) {
    for _ in 0..200 {
        pool.advance(BEAT);
        pool.reap().await;
        pool.ledger.follow_up().await.unwrap();
        happens(pool, Happening::Claim, 1).await;
        happens(pool, Happening::Finish, 1).await;
        let page = pool.ledger.page(None, None, 100).await.unwrap();
        if page.jobs.iter().all(|job| job.state.name().is_terminal()) {
            return;
        }
    }
    panic!("somebody still waits");
}
