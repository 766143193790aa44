//! Claims that the nexus forgot: whoever proves one gets it back, unless its number was given out again.
//!
//! A nexus that lost its newest writes is made by writing a job's record and places back as they were before its claim.
//! The journal keeps what it has, so these pools are not sound in the eyes of fsck, and need not be.

use domain::job::{RunEnd, leases_set};
use domain::{Cause, Entity as _, JobId, Place, ProvenLease, Refused, State};
use ledger::{FinishRefused, LogChunk, LogRefused, RenewItem, Renewed, keys};
use nexus::{Move, Score};

use crate::agents::record;
use crate::pool::{Pool, TTL, agent, ended, lease, retried, spec};

/// A job that the first agent has claimed, and of whose claim the nexus knows nothing any more.
async fn forgotten(pool: &Pool, spec: domain::JobSpec) -> JobId {
    for n in 1..=2 {
        pool.ledger.enrol(&record(n)).await.unwrap();
    }
    let id = pool.submit_one(spec).await;
    let before = pool.dump().await.records[&keys::job(id.ulid())].bytes.clone();
    let queued = pool.job(&id).await;
    pool.claim(1, 1).await;
    pool.damage(|tx| {
        tx.puts.push((keys::job(id.ulid()), before));
        tx.moves.push(Move {
            set: leases_set(&agent(1).id),
            member: id.ulid().to_owned(),
            score: None,
        });
        for ((set, member), place) in queued.places() {
            let Place::At(score) = place else { continue };
            let score = Some(Score::saturating(score));
            tx.moves.push(Move { set, member, score });
        }
    })
    .await;
    assert!(matches!(pool.state(&id).await, State::Queued { .. }));
    id
}

/// The job runs as its first attempt, under the first agent, and stands nowhere else.
async fn is_readopted(pool: &Pool, id: &JobId) {
    assert!(lease(id, 1).is_live(&pool.job(id).await));
    assert_eq!(pool.set(&leases_set(&agent(1).id)).await, [id.ulid()]);
    assert!(pool.ledger.lanes().await.unwrap().is_empty());
    assert!(pool.set(keys::HELD).await.is_empty());
}

fn of_the_other(id: &JobId) -> ProvenLease {
    ProvenLease {
        agent: agent(2).id,
        ..lease(id, 1)
    }
}

#[tokio::test]
async fn a_renewal_brings_a_forgotten_claim_back() {
    let pool = Pool::new();
    let id = forgotten(&pool, spec()).await;
    assert_eq!(pool.renew(1, &id, 1).await, Renewed::Live);
    is_readopted(&pool, &id).await;
    assert_eq!(pool.renew(1, &id, 1).await, Renewed::Live);
    assert!(pool.finish(&id, 1, RunEnd::Succeeded).await.is_ok());
}

#[tokio::test]
async fn a_finish_of_a_forgotten_claim_is_recorded_and_so_is_its_log() {
    let pool = Pool::new();
    let id = forgotten(&pool, spec()).await;
    let chunk = LogChunk {
        offset: 0,
        bytes: b"built".to_vec(),
    };
    pool.ledger.append_log(&lease(&id, 1), &chunk).await.unwrap();
    is_readopted(&pool, &id).await;
    let id = forgotten(&pool, spec()).await;
    for _ in 0..2 {
        assert!(pool.finish(&id, 1, RunEnd::Succeeded).await.is_ok());
        assert!(matches!(pool.state(&id).await, State::Succeeded { .. }));
    }
}

#[tokio::test]
async fn a_number_that_was_given_out_again_belongs_to_its_new_holder() {
    let pool = Pool::new();
    let id = forgotten(&pool, spec()).await;
    assert_eq!(pool.claim(2, 1).await[0].job.attempt, 1);
    assert_eq!(pool.renew(1, &id, 1).await, Renewed::Lost);
    let answers = pool.ledger.finish(&[ended(&id, 1, RunEnd::Succeeded)]).await;
    let stale = Refused::StaleLease {
        presented: 1,
        live: Some(1),
    };
    assert!(matches!(&answers[0], Err(FinishRefused::Rules(why)) if *why == stale));
    let chunk = LogChunk {
        offset: 0,
        bytes: b"x".to_vec(),
    };
    let answer = pool.ledger.append_log(&lease(&id, 1), &chunk).await;
    assert!(matches!(answer, Err(LogRefused::LeaseLost)));
    let why = domain::job::GiveBack::Drain;
    assert!(pool.ledger.give_back(&lease(&id, 1), why).await.is_err());
    assert!(of_the_other(&id).is_live(&pool.job(&id).await));
    // What the new holder finished is not the old one's, even when it comes again.
    assert!(pool.finish(&id, 1, RunEnd::Succeeded).await.is_ok());
    let answers = pool.ledger.finish(&[ended(&id, 1, RunEnd::Succeeded)]).await;
    assert!(matches!(answers[0], Err(FinishRefused::Rules(_))));
}

#[tokio::test]
async fn a_forgotten_claim_is_taken_out_of_somebody_elses_hands() {
    let pool = Pool::with_reapers().await;
    let id = forgotten(&pool, spec()).await;
    let claimant = pool.claimant(2, 1).await;
    let (other, item) = (pool.other(), renewal(&id));
    // Between the take and the claim of another coordinator.
    pool.nexus.before_next_commit(async move {
        let answers = other.renew(&agent(1), &[item], TTL).await.unwrap();
        assert_eq!(answers, [Renewed::Live]);
    });
    assert!(pool.claim_for(&[claimant]).await[0].leases.is_empty());
    is_readopted(&pool, &id).await;
}

fn renewal(id: &JobId) -> RenewItem {
    RenewItem {
        job: id.clone(),
        attempt: 1,
        ran: std::time::Duration::ZERO,
    }
}

#[tokio::test]
async fn a_finish_waits_for_an_agent_that_was_forgotten_too() {
    let pool = Pool::new();
    let id = forgotten(&pool, spec()).await;
    pool.drop_record(keys::agent(&agent(1).id)).await;
    let answer = pool.finish(&id, 1, RunEnd::Succeeded).await;
    assert!(matches!(answer, Err(FinishRefused::AgentUnknown(who)) if who == agent(1).id));
    pool.ledger.enrol(&record(1)).await.unwrap();
    assert!(pool.finish(&id, 1, RunEnd::Succeeded).await.is_ok());
}

#[tokio::test]
async fn a_job_that_was_forgotten_is_unknown_and_its_lease_lost() {
    let pool = Pool::new();
    let gone: JobId = "test-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap();
    assert_eq!(pool.renew(1, &gone, 1).await, Renewed::Lost);
    let answer = pool.finish(&gone, 1, RunEnd::Succeeded).await;
    assert!(matches!(answer, Err(FinishRefused::Unknown(job)) if job == gone));
}

#[tokio::test]
async fn a_finish_that_was_recorded_is_answered_as_the_first_time_whatever_the_job_does_now() {
    let pool = Pool::new();
    let id = pool.submit_one(retried(3)).await;
    pool.claim(1, 1).await;
    let failed = ended(&id, 1, RunEnd::Failed(Cause::Disk));
    assert!(pool.ledger.finish(std::slice::from_ref(&failed)).await[0].is_ok());
    pool.claim(2, 1).await;
    let commits = pool.nexus.commits();
    for _ in 0..3 {
        assert!(pool.ledger.finish(std::slice::from_ref(&failed)).await[0].is_ok());
    }
    assert_eq!(pool.nexus.commits(), commits);
    // An attempt that the reaper took was never finished.
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(3)).await;
    pool.claim(1, 1).await;
    pool.reap_for(TTL).await;
    pool.claim(2, 1).await;
    let answers = pool
        .ledger
        .finish(&[ended(&id, 1, RunEnd::Failed(Cause::Disk))])
        .await;
    assert!(matches!(answers[0], Err(FinishRefused::Rules(_))));
}
