//! Records that this version cannot read: they are left alone, and delay nobody else.

use std::time::Duration;

use domain::JobId;
use domain::job::RunEnd;
use ledger::{HOLD, RenewItem, Renewed, keys};

use crate::pool::{BEAT, Pool, TTL, agent, ended, grouped, retried, spec};

async fn poison(pool: &Pool, id: &JobId) {
    pool.poison(keys::job(id.ulid())).await;
}

#[tokio::test]
async fn an_unreadable_job_stops_no_claim() {
    let pool = Pool::with_reapers().await;
    let ids = pool.submit(vec![spec(); 2]).await;
    poison(&pool, &ids[0]).await;
    let claimed = pool.claim(1, 2).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].job.id, ids[1]);
    pool.reap_for(HOLD).await;
}

#[tokio::test]
async fn an_unreadable_job_stops_no_renewal_and_is_not_lost() {
    let pool = Pool::new();
    let ids = pool.submit(vec![spec(); 2]).await;
    pool.claim(1, 2).await;
    poison(&pool, &ids[0]).await;
    let items: Vec<_> = ids
        .iter()
        .map(|job| RenewItem {
            job: job.clone(),
            attempt: 1,
            ran: Duration::ZERO,
        })
        .collect();
    pool.advance(Duration::from_secs(10));
    let answers = pool.ledger.renew(&agent(1), &items, TTL).await.unwrap();
    assert_eq!(answers, [Renewed::Live, Renewed::Live]);
    let leases = pool.ledger.leases_of(&agent(1).id, |_| false).await.unwrap();
    assert_eq!(leases.len(), 1);
}

#[tokio::test]
async fn an_unreadable_job_stops_no_finish() {
    let pool = Pool::new();
    let ids = pool.submit(vec![spec(); 2]).await;
    pool.claim(1, 2).await;
    poison(&pool, &ids[0]).await;
    let items: Vec<_> = ids.iter().map(|id| ended(id, 1, RunEnd::Succeeded)).collect();
    let answers = pool.ledger.finish(&items).await;
    assert!(answers[0].is_err() && answers[1].is_ok());
}

#[tokio::test]
async fn an_unreadable_job_stops_no_taking() {
    let pool = Pool::with_reapers().await;
    let ids = pool.submit(vec![retried(2); 3]).await;
    pool.claim(1, 3).await;
    poison(&pool, &ids[0]).await;
    // Its ended attempts cannot be read, so its lease cannot be taken.
    pool.poison(keys::attempts(&ids[1])).await;
    assert_eq!(pool.reap_for(TTL).await.taken, 1);
}

#[tokio::test]
async fn an_unreadable_job_stops_no_group_and_no_timer() {
    let pool = Pool::new();
    let ids = pool.submit(vec![grouped("licence", 2); 2]).await;
    let later = domain::JobSpec {
        not_before: Some(pool.now().plus(BEAT)),
        ..spec()
    };
    let timed = pool.submit(vec![later; 2]).await;
    poison(&pool, &ids[0]).await;
    poison(&pool, &timed[0]).await;
    assert_eq!(pool.ledger.follow_up().await.unwrap(), 1);
    pool.advance(BEAT);
    assert_eq!(pool.ledger.fire_timers().await.unwrap(), 1);
    assert_eq!(pool.claim(1, 4).await.len(), 2);
}

#[tokio::test]
async fn an_unreadable_job_and_agent_stop_no_listing() {
    let pool = Pool::new();
    let ids = pool.submit(vec![spec(); 2]).await;
    poison(&pool, &ids[0]).await;
    assert_eq!(pool.ledger.page(None, None, 10).await.unwrap().jobs.len(), 1);
    let ulids: Vec<String> = ids.iter().map(|id| id.ulid().to_owned()).collect();
    assert_eq!(pool.ledger.jobs(&ulids).await.unwrap().len(), 1);
    pool.ledger.touch(&[agent(1).id].into()).await.unwrap();
    pool.poison(keys::agent(&agent(1).id)).await;
    assert!(pool.ledger.agents().await.unwrap().is_empty());
}
