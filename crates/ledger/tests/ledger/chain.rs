//! The journal: one fact for each change, chained per job.

use domain::job::{RunEnd, StateName};
use domain::{Cause, JobFact};
use ledger::verify_chain;

use crate::pool::{Pool, TTL, retried, spec};

#[tokio::test]
async fn a_jobs_facts_tell_its_life_and_follow_each_other() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(3)).await;
    let stranger = pool.submit_one(spec()).await;
    pool.claim(1, 2).await;
    pool.finish(&stranger, 1, RunEnd::Succeeded).await.unwrap();
    pool.reap_for(TTL).await;
    pool.claim(2, 1).await;
    pool.finish(&id, 2, RunEnd::Failed(Cause::Disk)).await.unwrap();
    pool.claim(1, 1).await;
    pool.cancel(&id).await;
    pool.finish(&id, 3, RunEnd::Cancelled).await.unwrap();
    let facts = pool.ledger.facts(&id).await.unwrap();
    let told: Vec<&str> = facts.iter().map(|(entry, _)| name(&entry.fact)).collect();
    assert_eq!(
        told,
        [
            "submitted",
            "claimed",
            "lease taken",
            "claimed",
            "finished",
            "claimed",
            "cancel requested",
            "finished"
        ]
    );
    let states: Vec<StateName> = facts.iter().map(|(entry, _)| entry.state).collect();
    use StateName::{Cancelled, Queued, Running};
    assert_eq!(
        states,
        [
            Queued, Running, Queued, Running, Queued, Running, Running, Cancelled
        ]
    );
    assert!(facts.is_sorted_by_key(|(entry, _)| entry.at));
    let head = pool.ledger.load(&id).await.unwrap().unwrap().head();
    assert_eq!(verify_chain(&facts, head), None);
    pool.check().await;
}

const fn name(fact: &JobFact) -> &'static str {
    match fact {
        JobFact::Submitted { .. } => "submitted",
        JobFact::Due => "due",
        JobFact::Admitted => "admitted",
        JobFact::Claimed { .. } => "claimed",
        JobFact::Finished { .. } => "finished",
        JobFact::GivenBack { .. } => "given back",
        JobFact::LeaseTaken { .. } => "lease taken",
        JobFact::CancelRequested { .. } => "cancel requested",
        JobFact::Rejected { .. } => "rejected",
        JobFact::Quarantined { .. } => "quarantined",
        JobFact::Restored => "restored",
    }
}

#[tokio::test]
async fn more_facts_than_one_page_are_read_to_the_end() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.submit(vec![spec(); nexus::limits::PAGE_MAX + 1]).await;
    pool.claim(1, 1).await;
    assert_eq!(pool.ledger.facts(&id).await.unwrap().len(), 2);
    pool.check().await;
}
