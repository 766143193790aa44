//! Pages, filters and places in the lane.

use domain::job::{RunEnd, StateName};
use domain::{Job, JobId};
use nexus::limits::PAGE_MAX;

use crate::pool::{Pool, spec};

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id.clone()).collect()
}

/// All pages of `n`, one after the other.
async fn all(pool: &Pool, state: Option<StateName>, n: usize) -> Vec<JobId> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = pool.ledger.page(state, cursor, n).await.unwrap();
        assert!(page.jobs.len() <= n.max(1));
        found.extend(ids(&page.jobs));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn pages_of_any_size_list_every_job_once_newest_first() {
    let pool = Pool::new();
    let mut submitted = pool.submit(vec![spec(); 7]).await;
    submitted.reverse();
    for n in [1, 2, 3, 6, 7, 8, 100] {
        assert_eq!(all(&pool, None, n).await, submitted, "pages of {n}");
    }
    pool.check().await;
}

#[tokio::test]
async fn a_page_of_nothing_ends() {
    let pool = Pool::new();
    pool.submit(vec![spec(); 2]).await;
    assert!(pool.ledger.page(None, None, 0).await.unwrap().jobs.len() <= 1);
}

#[tokio::test]
async fn a_page_larger_than_the_nexus_reads_at_once_is_cut_and_goes_on() {
    let pool = Pool::new();
    let n = PAGE_MAX + 10;
    pool.submit(vec![spec(); n]).await;
    assert_eq!(all(&pool, None, n * 2).await.len(), n);
}

#[tokio::test]
async fn a_filter_lists_one_state_only_on_all_its_pages() {
    let pool = Pool::new();
    let submitted = pool.submit(vec![spec(); 9]).await;
    pool.claim(1, 6).await;
    for id in &submitted[..3] {
        pool.finish(id, 1, RunEnd::Succeeded).await.unwrap();
    }
    let newest_first = |part: &[JobId]| part.iter().rev().cloned().collect::<Vec<_>>();
    for n in [1, 2, 5, 20] {
        let of = |state| all(&pool, Some(state), n);
        assert_eq!(of(StateName::Succeeded).await, newest_first(&submitted[..3]));
        assert_eq!(of(StateName::Running).await, newest_first(&submitted[3..6]));
        assert_eq!(of(StateName::Queued).await, newest_first(&submitted[6..]));
        assert!(of(StateName::Cancelled).await.is_empty());
    }
    pool.check().await;
}

#[tokio::test]
async fn a_job_knows_how_many_go_before_it() {
    let pool = Pool::new();
    let submitted = pool.submit(vec![spec(); 3]).await;
    let lane = pool.job(&submitted[0]).await.lane;
    for (ahead, id) in submitted.iter().enumerate() {
        let found = pool.ledger.ahead_in_lane(&lane, id.ulid()).await.unwrap();
        assert_eq!(found, Some(ahead as u64));
    }
    pool.claim(1, 1).await;
    let found = pool
        .ledger
        .ahead_in_lane(&lane, submitted[0].ulid())
        .await
        .unwrap();
    assert_eq!(found, None);
    pool.check().await;
}

#[tokio::test]
async fn an_unknown_job_has_no_detail() {
    let pool = Pool::new();
    let unknown: JobId = "test-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap();
    assert!(pool.ledger.detail(&unknown).await.unwrap().is_none());
    assert!(pool.ledger.facts(&unknown).await.unwrap().is_empty());
    assert!(pool.ledger.load(&unknown).await.unwrap().is_none());
}
