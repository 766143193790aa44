//! Agents and keys: kept while they are of use, forgotten afterwards, and never one too many.

use std::time::Duration;

use domain::{AgentName, Digest, Resources, Timestamp};
use ledger::record::AgentRecord;

use crate::pool::{Pool, agent, keyed, spec};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn record(n: u8) -> AgentRecord {
    AgentRecord {
        id: agent(n).id,
        name: agent(n).name,
        fingerprint: Digest::of(b"forge"),
        labels: [("os".to_owned(), "linux".to_owned())].into(),
        capacity: Resources::default(),
        slots: 2,
        executor: "process".to_owned(),
        version: "0.1.0".to_owned(),
        enrolled_at: Timestamp(0),
    }
}

#[tokio::test]
async fn an_agent_is_listed_with_when_it_enrolled_first_and_was_seen_last() {
    let pool = Pool::new();
    let enrolled_at = pool.now();
    pool.ledger.enrol(&record(1)).await.unwrap();
    pool.advance(HOUR / 2);
    pool.ledger.enrol(&record(1)).await.unwrap();
    pool.ledger.enrol(&record(2)).await.unwrap();
    pool.advance(HOUR / 4);
    pool.ledger.touch(&[agent(1).id].into()).await.unwrap();
    let agents = pool.ledger.agents().await.unwrap();
    let seen: Vec<_> = agents
        .iter()
        .map(|(record, at)| (record.id.clone(), *at))
        .collect();
    assert_eq!(seen[0], (agent(1).id, pool.now()));
    assert_eq!(seen[1].0, agent(2).id);
    assert_eq!(agents[0].0.enrolled_at, enrolled_at);
    assert_eq!(
        pool.ledger.agent(&agent(1).id).await.unwrap(),
        Some(agents[0].0.clone())
    );
    pool.check().await;
}

#[tokio::test]
async fn a_silent_agent_is_forgotten_unless_it_holds_a_lease() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    for n in 1..=3 {
        pool.ledger.enrol(&record(n)).await.unwrap();
    }
    pool.claim(1, 1).await;
    pool.advance(HOUR);
    pool.ledger.touch(&[agent(3).id].into()).await.unwrap();
    assert_eq!(pool.ledger.forget_agents().await.unwrap(), 1);
    assert_eq!(pool.ledger.agent(&agent(2).id).await.unwrap(), None);
    assert_eq!(pool.ledger.agents().await.unwrap().len(), 2);
    pool.finish(&id, 1, domain::job::RunEnd::Succeeded).await.unwrap();
    assert_eq!(pool.ledger.forget_agents().await.unwrap(), 1);
    pool.check().await;
}

#[tokio::test]
async fn an_agent_that_comes_back_just_then_is_not_forgotten() {
    let pool = Pool::new();
    pool.ledger.enrol(&record(1)).await.unwrap();
    pool.advance(HOUR * 2);
    let other = pool.other();
    pool.nexus.before_next_commit(async move {
        other.touch(&[agent(1).id].into()).await.unwrap();
    });
    assert_eq!(pool.ledger.forget_agents().await.unwrap(), 0);
    assert!(pool.ledger.agent(&agent(1).id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_name_drains_until_it_is_told_otherwise() {
    let pool = Pool::new();
    let name: AgentName = "forge-1".parse().unwrap();
    assert!(!pool.ledger.draining(&name).await.unwrap());
    pool.ledger.set_draining(&name, true).await.unwrap();
    assert!(pool.ledger.draining(&name).await.unwrap());
    pool.ledger.set_draining(&name, false).await.unwrap();
    assert!(!pool.ledger.draining(&name).await.unwrap());
}

#[tokio::test]
async fn a_key_is_remembered_for_a_day() {
    let pool = Pool::new();
    let request = keyed("k", vec![spec()]);
    let submit = || async {
        pool.ledger
            .submit(std::slice::from_ref(&request))
            .await
            .pop()
            .unwrap()
            .unwrap()
    };
    let first = submit().await;
    pool.advance(HOUR * 24 - Duration::from_millis(1));
    assert_eq!(pool.ledger.forget_keys().await.unwrap(), 0);
    assert_eq!(submit().await.ids, first.ids);
    pool.advance(Duration::from_millis(1));
    assert_eq!(pool.ledger.forget_keys().await.unwrap(), 1);
    assert_ne!(submit().await.ids, first.ids);
    pool.check().await;
}

#[tokio::test]
async fn a_key_that_is_used_anew_just_then_is_not_forgotten() {
    let pool = Pool::new();
    let request = keyed("k", vec![spec()]);
    pool.ledger.submit(std::slice::from_ref(&request)).await;
    pool.advance(HOUR * 25);
    // Another coordinator forgets the key, and somebody uses it anew, before this one's commit.
    let (other, again) = (pool.other(), request.clone());
    pool.nexus.before_next_commit(async move {
        assert_eq!(other.forget_keys().await.unwrap(), 1);
        assert!(other.submit(&[again]).await[0].is_ok());
    });
    assert_eq!(pool.ledger.forget_keys().await.unwrap(), 0);
    let replay = pool.ledger.submit(&[request]).await.pop().unwrap().unwrap();
    assert!(replay.replayed);
    pool.check().await;
}
