//! Renewals: a lease lives on for its own agent and attempt only.

use std::time::Duration;

use domain::job::{RunEnd, State};
use domain::plan::BACKSTOP;
use domain::{Cause, JobId};
use ledger::{LedgerError, RenewItem, Renewed};

use crate::pool::{Pool, TTL, agent, cancel, retried, spec};

fn item(job: &JobId, attempt: u32) -> RenewItem {
    let job = job.clone();
    RenewItem {
        job,
        attempt,
        ran: Duration::ZERO,
    }
}

#[tokio::test]
async fn a_renewal_moves_the_deadline_and_nothing_else() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let before = pool.dump().await;
    pool.advance(Duration::from_secs(10));
    assert_eq!(pool.renew(1, &id, 1).await, Renewed::Live);
    let mut after = pool.dump().await;
    let leases = after
        .sets
        .get_mut(&domain::job::leases_set(&agent(1).id))
        .unwrap();
    let (deadline, member) = leases.pop_first().unwrap();
    assert_eq!(deadline.get(), pool.now().plus(TTL).as_millis());
    leases.insert((nexus::Score::saturating(deadline.get() - 10_000), member));
    assert_eq!(after, before);
    pool.check().await;
}

#[tokio::test]
async fn an_agent_learns_of_a_cancel_by_its_renewal_and_keeps_the_lease() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.cancel(&id).await;
    for _ in 0..3 {
        assert_eq!(pool.reap_for(TTL / 2).await.taken, 0);
        assert_eq!(pool.renew(1, &id, 1).await, Renewed::Cancel);
    }
    pool.check().await;
}

#[tokio::test]
async fn another_agents_lease_and_another_attempt_are_lost() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    assert_eq!(pool.renew(2, &id, 1).await, Renewed::Lost);
    assert_eq!(pool.renew(1, &id, 2).await, Renewed::Lost);
    assert_eq!(pool.renew(1, &id, 0).await, Renewed::Lost);
    assert_eq!(pool.renew(1, &id, 1).await, Renewed::Live);
    pool.check().await;
}

#[tokio::test]
async fn items_are_answered_in_their_order_each_on_its_own() {
    let pool = Pool::new();
    let ids = pool.submit(vec![retried(2); 3]).await;
    pool.claim(1, 3).await;
    pool.finish(&ids[0], 1, RunEnd::Succeeded).await.unwrap();
    pool.cancel(&ids[2]).await;
    let unknown: JobId = "test-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap();
    let items = [
        item(&ids[2], 1),
        item(&unknown, 1),
        item(&ids[0], 1),
        item(&ids[1], 1),
    ];
    let answers = pool.ledger.renew(&agent(1), &items, TTL).await.unwrap();
    assert_eq!(
        answers,
        [Renewed::Cancel, Renewed::Lost, Renewed::Lost, Renewed::Live]
    );
    pool.check().await;
}

#[tokio::test]
async fn a_renewal_that_meets_a_cancel_is_decided_anew() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let (other, job) = (pool.other(), id.clone());
    pool.nexus.before_next_commit(async move {
        other.apply(&job, cancel()).await.unwrap();
    });
    assert_eq!(pool.renew(1, &id, 1).await, Renewed::Cancel);
    pool.check().await;
}

#[tokio::test]
async fn a_renewal_that_was_held_up_does_not_bring_the_deadline_back() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let (other, renewal, advance) = (pool.other(), item(&id, 1), pool.clock_hand());
    pool.nexus.before_next_commit(async move {
        advance(Duration::from_secs(10));
        let answers = other.renew(&agent(1), &[renewal], TTL).await.unwrap();
        assert_eq!(answers, [Renewed::Live]);
    });
    assert_eq!(pool.renew(1, &id, 1).await, Renewed::Live);
    let dump = pool.dump().await;
    let leases = &dump.sets[&domain::job::leases_set(&agent(1).id)];
    let deadline = leases.first().unwrap().0.get();
    assert_eq!(deadline, pool.now().plus(TTL).as_millis());
    pool.check().await;
}

#[tokio::test]
async fn a_lease_that_is_taken_before_the_renewal_commits_is_lost() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(2)).await;
    pool.claim(1, 1).await;
    pool.reap_for(TTL - Duration::from_secs(1)).await;
    let (other, advance) = (pool.other(), pool.clock_hand());
    pool.nexus.before_next_commit(async move {
        advance(Duration::from_secs(1));
        assert_eq!(other.reap(TTL).await.unwrap().taken, 1);
    });
    assert_eq!(pool.renew(1, &id, 1).await, Renewed::Lost);
    pool.check().await;
}

#[tokio::test]
async fn a_job_that_changes_without_end_is_contended_and_its_lease_stays() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    for _ in 0..16 {
        pool.nexus
            .before_next_commit(pool.rewriting(ledger::keys::job(id.ulid())));
    }
    let answer = pool.ledger.renew(&agent(1), &[item(&id, 1)], TTL).await;
    assert!(matches!(answer, Err(LedgerError::Contended { job }) if job == id));
    assert_eq!(pool.renew(1, &id, 1).await, Renewed::Live);
    pool.check().await;
}

#[tokio::test]
async fn a_run_whose_agent_never_ends_it_loses_its_lease_at_the_backstop() {
    let pool = Pool::new();
    let id = pool.submit_one(retried(2)).await;
    pool.claim(1, 1).await;
    let limit = spec().timeout.duration() + BACKSTOP;
    let after = |ran| RenewItem { ran, ..item(&id, 1) };
    for (ran, standing) in [
        (limit - Duration::from_millis(1), Renewed::Live),
        (limit, Renewed::Lost),
    ] {
        let answers = pool.ledger.renew(&agent(1), &[after(ran)], TTL).await.unwrap();
        assert_eq!(answers, [standing]);
    }
    let state = pool.ledger.load(&id).await.unwrap().unwrap().into_job().state;
    assert!(
        matches!(
            state,
            State::Failed {
                cause: Cause::Timeout,
                ..
            }
        ),
        "{state:?}"
    );
    pool.check().await;
}

#[tokio::test]
async fn no_step_of_the_coordinators_clock_ends_a_run_that_is_renewed() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.advance(spec().timeout.duration() * 1_000);
    assert_eq!(pool.reap().await.taken, 0);
    assert_eq!(pool.renew(1, &id, 1).await, Renewed::Live);
    pool.check().await;
}
