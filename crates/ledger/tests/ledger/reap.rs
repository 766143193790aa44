//! The reaper: it takes what is overdue, when it may trust its clock, and once.

use std::time::Duration;

use domain::plan::BEAT_GAP_MAX;
use domain::{Cause, State};
use ledger::{HOLD, PASS_MAX, Renewed, TAKEN_MAX, keys};

use crate::pool::{BEAT, Pool, TTL, retried, spec};

#[tokio::test]
async fn an_overdue_lease_is_taken_and_the_job_tried_again() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(2)).await;
    pool.claim(1, 1).await;
    assert_eq!(pool.reap_for(TTL - BEAT).await.taken, 0);
    pool.advance(BEAT);
    assert_eq!(pool.reap().await.taken, 1);
    let job = pool.job(&id).await;
    assert!(matches!(job.state, State::Queued { .. }));
    assert_eq!((job.attempt, job.charged), (1, 1));
    let attempts = pool.ledger.detail(&id).await.unwrap().unwrap().attempts;
    assert_eq!(attempts.len(), 1);
    pool.check().await;
}

#[tokio::test]
async fn the_last_charged_attempt_ends_the_job() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(2)).await;
    for attempt in 1..=2 {
        assert_eq!(pool.claim(1, 1).await[0].job.attempt, attempt);
        assert_eq!(pool.reap_for(TTL).await.taken, 1);
    }
    let State::Failed { cause, .. } = pool.state(&id).await else {
        panic!("the job should have failed")
    };
    assert_eq!(cause, Cause::LeaseLost);
    assert!(pool.claim(1, 1).await.is_empty());
    pool.check().await;
}

#[tokio::test]
async fn a_lease_that_was_renewed_a_moment_ago_is_not_taken() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.reap_for(TTL - BEAT).await;
    pool.advance(BEAT);
    // The reaper has left its beat and read the deadline; its taking comes too late.
    let (other, job) = (pool.other(), id.clone());
    pool.nexus.before_next_commit(async {});
    pool.nexus.before_next_commit(async move {
        let item = ledger::RenewItem {
            job,
            attempt: 1,
            ran: Duration::ZERO,
        };
        let agent = crate::pool::agent(1);
        assert_eq!(other.renew(&agent, &[item], TTL).await.unwrap(), [Renewed::Live]);
    });
    assert_eq!(pool.reap().await.taken, 0);
    assert!(matches!(pool.state(&id).await, State::Running(_)));
    pool.check().await;
}

#[tokio::test]
async fn the_very_first_reaper_takes_nothing_for_one_ttl() {
    let pool = Pool::new();
    pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.advance(TTL * 2);
    let first = pool.reap().await;
    assert!(first.grace && first.taken == 0);
    assert_eq!(pool.reap_for(TTL - BEAT).await.taken, 0);
    pool.advance(BEAT);
    assert_eq!(pool.reap().await.taken, 1);
    pool.check().await;
}

#[tokio::test]
async fn after_a_gap_agents_get_one_ttl_to_renew() {
    let pool = Pool::with_reapers().await;
    let ids = pool.submit(vec![spec(); 2]).await;
    pool.claim(1, 1).await;
    pool.claim(2, 1).await;
    pool.nexus.inner.set_available(false);
    assert!(pool.ledger.reap(TTL).await.is_err());
    pool.advance(TTL * 3);
    pool.nexus.inner.set_available(true);
    let first = pool.reap().await;
    assert!(first.grace && first.taken == 0);
    assert_eq!(pool.reap_for(TTL / 2).await.taken, 0);
    // One agent comes back, the other has gone for good.
    assert_eq!(pool.renew(1, &ids[0], 1).await, Renewed::Live);
    assert_eq!(pool.reap_for(TTL / 2).await.taken, 1);
    assert!(matches!(pool.state(&ids[0]).await, State::Running(_)));
    assert!(matches!(pool.state(&ids[1]).await, State::Failed { .. }));
    pool.check().await;
}

#[tokio::test]
async fn a_beat_that_is_only_a_little_late_is_no_gap() {
    let pool = Pool::with_reapers().await;
    pool.advance(BEAT_GAP_MAX);
    assert!(!pool.reap().await.grace);
    pool.advance(BEAT_GAP_MAX + Duration::from_millis(1));
    assert!(pool.reap().await.grace);
}

#[tokio::test]
async fn a_pass_takes_only_so_much_and_the_next_one_goes_on() {
    let pool = Pool::with_reapers().await;
    let agents = u8::try_from(TAKEN_MAX.div_ceil(PASS_MAX) + 2).unwrap();
    pool.submit(vec![spec(); usize::from(agents) * PASS_MAX]).await;
    for agent in 1..=agents {
        assert_eq!(pool.claim(agent, PASS_MAX).await.len(), PASS_MAX);
    }
    assert_eq!(pool.reap_for(TTL - BEAT).await.taken, 0);
    pool.advance(BEAT);
    assert_eq!(pool.reap().await.taken, TAKEN_MAX);
    pool.advance(BEAT);
    assert_eq!(pool.reap().await.taken, 2 * PASS_MAX);
    pool.check().await;
}

#[tokio::test]
async fn a_take_that_nobody_claimed_comes_back_in_one_pass_however_large_it_was() {
    const JOBS: usize = 3 * PASS_MAX;
    let pool = Pool::with_reapers().await;
    pool.submit(vec![spec(); JOBS]).await;
    let claimant = pool.claimant(1, JOBS).await;
    pool.nexus.crash_after(2);
    assert!(pool.ledger.claim(&[claimant], TTL).await.is_err());
    pool.nexus.heal();
    assert_eq!(pool.set(keys::HELD).await.len(), JOBS);
    assert_eq!(pool.reap_for(HOLD - BEAT).await.returned, 0);
    pool.advance(BEAT);
    assert_eq!(pool.reap().await.returned, JOBS);
    pool.check().await;
}

#[tokio::test]
async fn two_reapers_take_a_lease_once() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(3)).await;
    pool.claim(1, 1).await;
    pool.reap_for(TTL - BEAT).await;
    pool.advance(BEAT);
    let (other, advance) = (pool.other(), pool.clock_hand());
    pool.nexus.before_next_commit(async {});
    pool.nexus.before_next_commit(async move {
        advance(BEAT);
        assert_eq!(other.reap(TTL).await.unwrap().taken, 1);
    });
    assert_eq!(pool.reap().await.taken, 0);
    assert_eq!(pool.job(&id).await.charged, 1);
    pool.check().await;
}

#[tokio::test]
async fn a_reaper_that_another_one_overtook_leaves_the_work_to_it() {
    let pool = Pool::with_reapers().await;
    pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.reap_for(TTL - BEAT).await;
    pool.advance(BEAT);
    let other = pool.other();
    // The other's beat comes first, so this one's is refused.
    pool.nexus.before_next_commit(async move {
        assert_eq!(other.reap(TTL).await.unwrap().taken, 1);
    });
    assert_eq!(pool.reap().await, ledger::Reaped::default());
    pool.check().await;
}

#[tokio::test]
async fn a_reaper_from_before_a_gap_takes_nothing_in_the_grace() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.reap_for(TTL - BEAT).await;
    pool.advance(BEAT);
    let (other, advance) = (pool.other(), pool.clock_hand());
    pool.nexus.before_next_commit(async {});
    // It stood still between its reading and its taking, and so did everything else.
    pool.nexus.before_next_commit(async move {
        advance(TTL);
        assert!(other.reap(TTL).await.unwrap().grace);
    });
    assert_eq!(pool.reap().await.taken, 0);
    assert!(matches!(pool.state(&id).await, State::Running(_)));
    pool.check().await;
}

#[tokio::test]
async fn a_cancelled_job_whose_agent_vanished_ends_cancelled() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(3)).await;
    pool.claim(1, 1).await;
    pool.cancel(&id).await;
    assert_eq!(pool.reap_for(TTL).await.taken, 1);
    assert!(matches!(
        pool.state(&id).await,
        State::Cancelled { attempt: Some(_), .. }
    ));
    pool.check().await;
}

#[tokio::test]
async fn more_leases_than_one_pass_looks_at_are_taken_in_the_next() {
    let pool = Pool::with_reapers().await;
    pool.submit(vec![spec(); 150]).await;
    pool.claim(1, 150).await;
    assert_eq!(pool.reap_for(TTL).await.taken, 100);
    pool.advance(BEAT);
    assert_eq!(pool.reap().await.taken, 50);
    pool.check().await;
}

#[tokio::test]
async fn a_hold_is_returned_in_a_grace_as_well() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    let claimant = pool.claimant(1, 1).await;
    pool.nexus.crash_after(2);
    assert!(pool.ledger.claim(&[claimant], TTL).await.is_err());
    pool.nexus.heal();
    pool.advance(HOLD - BEAT);
    assert_eq!(pool.reap().await.returned, 0);
    pool.advance(BEAT);
    let pass = pool.reap().await;
    assert!(pass.grace && pass.returned == 1);
    assert_eq!(pool.claim(1, 1).await[0].job.id, id);
    pool.check().await;
}

#[tokio::test]
async fn two_reapers_return_a_hold_once() {
    let pool = Pool::with_reapers().await;
    pool.submit_one(spec()).await;
    let claimant = pool.claimant(1, 1).await;
    pool.nexus.crash_after(2);
    assert!(pool.ledger.claim(&[claimant], TTL).await.is_err());
    pool.nexus.heal();
    pool.advance(HOLD);
    let other = pool.other();
    pool.nexus.before_next_commit(async move {
        assert_eq!(other.reap(TTL).await.unwrap().returned, 1);
    });
    assert_eq!(pool.reap().await.returned, 0);
    pool.check().await;
}

#[tokio::test]
async fn reapers_that_tick_at_the_same_time_work_once() {
    let pool = Pool::with_reapers().await;
    pool.advance(BEAT);
    let others = [pool.other(), pool.other()];
    assert!(pool.reap().await.beat);
    for other in &others {
        assert!(!other.reap(TTL).await.unwrap().beat);
    }
    pool.advance(BEAT);
    assert!(others[1].reap(TTL).await.unwrap().beat);
    assert!(!pool.reap().await.beat);
}

#[tokio::test]
async fn the_beat_of_a_reaper_that_is_a_moment_ahead_is_no_gap() {
    let pool = Pool::with_reapers().await;
    pool.advance(BEAT);
    // Another one ticks between this one's two reads, so its beat is younger than the first of them.
    let (other, advance) = (pool.other(), pool.clock_hand());
    pool.nexus.before_next_commit(async move {
        advance(Duration::from_millis(3));
        assert!(other.reap(TTL).await.unwrap().beat);
    });
    assert!(!pool.reap().await.beat);
    pool.advance(BEAT);
    assert!(!pool.reap().await.grace);
}

#[tokio::test]
async fn a_nexus_whose_clock_steps_back_takes_nothing_and_strands_nothing() {
    let pool = Pool::with_reapers().await;
    let ids = pool.submit(vec![retried(2); 2]).await;
    pool.claim(1, 1).await;
    let claimant = pool.claimant(2, 1).await;
    pool.nexus.crash_after(3);
    assert!(pool.ledger.claim(&[claimant], TTL).await.is_err());
    pool.nexus.heal();
    // A new primary answers whose clock is an hour behind.
    pool.step_back(Duration::from_secs(3_600));
    let first = pool.reap().await;
    assert!(first.grace && first.taken == 0);
    assert_eq!(pool.renew(1, &ids[0], 1).await, Renewed::Live);
    // What is held until an hour from now is claimable at once, and the lease of an agent that has gone is taken.
    assert_eq!(pool.claim(3, 2).await[0].job.id, ids[1]);
    assert_eq!(pool.reap_for(TTL * 3).await.taken, 2);
    pool.check().await;
}

#[tokio::test]
async fn a_beat_that_cannot_be_read_is_begun_anew_with_a_grace() {
    let pool = Pool::with_reapers().await;
    pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.poison(ledger::keys::BEAT.to_owned()).await;
    pool.advance(TTL);
    assert!(!pool.reap().await.beat);
    assert!(pool.reap().await.grace);
    assert_eq!(pool.reap_for(TTL).await.taken, 1);
}
