//! Jobs that cannot be read are put aside wherever they are met: on record, in nobody's way, and not for ever.

use domain::job::{RunEnd, TIMERS, leases_set, waiting_set};
use domain::{JobFact, JobId, JobSpec, State};
use ledger::{HOLD, JournalEntry, PASS_MAX, keys};

use crate::pool::{BEAT, Pool, TTL, agent, grouped, retried, spec};

/// The record of a job, unreadable from now on; the bytes that it had.
async fn damage(pool: &Pool, key: String) -> (String, Vec<u8>) {
    let bytes = pool.dump().await.records[&key].bytes.clone();
    pool.poison(key.clone()).await;
    (key, bytes)
}

async fn repair(pool: &Pool, (key, bytes): (String, Vec<u8>)) {
    pool.damage(|tx| tx.puts.push((key, bytes))).await;
}

/// The job is put aside, says from where, and is on record.
async fn is_aside(pool: &Pool, id: &JobId, from: &str) {
    assert_eq!(pool.set(keys::QUARANTINE).await, [id.ulid()]);
    let listed = pool.ledger.quarantined().await.unwrap();
    assert_eq!((&listed[0].job, listed[0].record.from.as_str()), (id, from));
    assert!(!listed[0].record.why.is_empty());
    assert_eq!(pool.ledger.n_quarantined().await.unwrap(), 1);
    let facts = pool.ledger.facts(id).await.unwrap();
    let (JournalEntry { fact, .. }, _) = facts.last().unwrap();
    assert!(
        matches!(fact, JobFact::Quarantined { from: set, .. } if set == from),
        "{fact:?}"
    );
}

/// The job can be read again, and is where it was.
async fn comes_back(pool: &Pool, damaged: (String, Vec<u8>)) {
    assert_eq!(pool.ledger.restore(TTL).await.unwrap(), 0);
    repair(pool, damaged).await;
    assert_eq!(pool.ledger.restore(TTL).await.unwrap(), 1);
    assert!(pool.set(keys::QUARANTINE).await.is_empty());
    pool.check().await;
}

#[tokio::test]
async fn in_its_lane() {
    let pool = Pool::new();
    let ids = pool.submit(vec![spec(); 2]).await;
    let damaged = damage(&pool, keys::job(ids[0].ulid())).await;
    assert!(pool.claim(1, 1).await.is_empty());
    is_aside(&pool, &ids[0], keys::HELD).await;
    assert_eq!(pool.claim(1, 1).await[0].job.id, ids[1]);
    comes_back(&pool, damaged).await;
    assert_eq!(pool.claim(1, 1).await[0].job.id, ids[0]);
}

#[tokio::test]
async fn with_a_spec_that_cannot_be_read_or_is_not_there() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    let damaged = damage(&pool, keys::spec(id.ulid())).await;
    assert!(pool.claim(1, 1).await.is_empty());
    is_aside(&pool, &id, keys::HELD).await;
    comes_back(&pool, damaged).await;
    pool.drop_record(keys::spec(id.ulid())).await;
    assert!(pool.claim(1, 1).await.is_empty());
    is_aside(&pool, &id, keys::HELD).await;
}

#[tokio::test]
async fn while_it_is_held() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(spec()).await;
    let claimant = pool.claimant(1, 1).await;
    pool.nexus.crash_after(2);
    assert!(pool.ledger.claim(&[claimant], TTL).await.is_err());
    pool.nexus.heal();
    let damaged = damage(&pool, keys::job(id.ulid())).await;
    pool.reap_for(HOLD).await;
    is_aside(&pool, &id, keys::HELD).await;
    comes_back(&pool, damaged).await;
}

#[tokio::test]
async fn among_the_overdue_leases() {
    let pool = Pool::with_reapers().await;
    let ids = pool.submit(vec![retried(2); 2]).await;
    pool.claim(1, 2).await;
    let damaged = damage(&pool, keys::job(ids[0].ulid())).await;
    assert_eq!(pool.reap_for(TTL).await.taken, 1);
    is_aside(&pool, &ids[0], &leases_set(&agent(1).id)).await;
    comes_back(&pool, damaged).await;
    // It runs again, with a whole TTL for its agent to renew in.
    assert!(matches!(pool.state(&ids[0]).await, State::Running(_)));
    assert!(pool.finish(&ids[0], 1, RunEnd::Succeeded).await.is_ok());
}

#[tokio::test]
async fn with_ended_attempts_that_cannot_be_read() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(3)).await;
    pool.claim(1, 1).await;
    pool.reap_for(TTL).await;
    pool.claim(1, 1).await;
    let damaged = damage(&pool, keys::attempts(&id)).await;
    assert_eq!(pool.reap_for(TTL).await.taken, 0);
    is_aside(&pool, &id, &leases_set(&agent(1).id)).await;
    comes_back(&pool, damaged).await;
}

#[tokio::test]
async fn at_its_timer() {
    let pool = Pool::new();
    let later = JobSpec {
        not_before: Some(pool.now().plus(BEAT)),
        ..spec()
    };
    let id = pool.submit_one(later).await;
    let damaged = damage(&pool, keys::job(id.ulid())).await;
    pool.advance(BEAT);
    assert_eq!(pool.ledger.fire_timers().await.unwrap(), 0);
    is_aside(&pool, &id, TIMERS).await;
    comes_back(&pool, damaged).await;
    assert_eq!(pool.ledger.fire_timers().await.unwrap(), 1);
}

#[tokio::test]
async fn among_those_that_wait_for_their_group() {
    let pool = Pool::new();
    let ids = pool.submit(vec![grouped("licence", 5); 2]).await;
    let damaged = damage(&pool, keys::job(ids[0].ulid())).await;
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 1);
    let waiting = waiting_set(&"licence".parse().unwrap());
    is_aside(&pool, &ids[0], &waiting).await;
    repair(&pool, damaged).await;
    assert_eq!(pool.ledger.restore(TTL).await.unwrap(), 1);
    assert_eq!(pool.set(&waiting).await, [ids[0].ulid()]);
}

#[tokio::test]
async fn more_of_them_than_a_pass_looks_at_delay_nobody() {
    let pool = Pool::new();
    let later = JobSpec {
        not_before: Some(pool.now().plus(BEAT)),
        ..spec()
    };
    let ids = pool.submit(vec![later; PASS_MAX + 1]).await;
    for id in &ids[..PASS_MAX] {
        pool.poison(keys::job(id.ulid())).await;
    }
    pool.advance(BEAT);
    assert_eq!(pool.ledger.fire_timers().await.unwrap(), 0);
    assert_eq!(pool.ledger.fire_timers().await.unwrap(), 1);
    assert_eq!(pool.claim(1, 1).await[0].job.id, ids[PASS_MAX]);
    assert_eq!(pool.ledger.quarantined().await.unwrap().len(), PASS_MAX);
}

#[tokio::test]
async fn what_two_coordinators_meet_at_once_is_put_aside_once() {
    let pool = Pool::new();
    let later = JobSpec {
        not_before: Some(pool.now().plus(BEAT)),
        ..spec()
    };
    let id = pool.submit_one(later).await;
    pool.poison(keys::job(id.ulid())).await;
    pool.advance(BEAT);
    let other = pool.other();
    pool.nexus.before_next_commit(async move {
        other.fire_timers().await.unwrap();
    });
    pool.ledger.fire_timers().await.unwrap();
    is_aside(&pool, &id, TIMERS).await;
    let facts = pool.ledger.facts(&id).await.unwrap();
    assert_eq!(
        facts
            .iter()
            .filter(|(entry, _)| !entry.fact.is_transition())
            .count(),
        1
    );
}
