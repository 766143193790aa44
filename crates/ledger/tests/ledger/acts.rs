//! Acts of administrators: kept in their order, durable before they are done, and not without end.

use std::time::Duration;

use domain::Principal;
use ledger::{ACTS_KEPT_MAX, Act, LedgerError};

use crate::pool::{Pool, START, spec};

fn ada() -> Principal {
    "ada".parse().expect("a principal")
}

fn fault(n: usize) -> Act {
    Act::FaultInjected {
        path: "coordinator/dispatch".to_owned(),
        fault: format!("panic at message {n}"),
    }
}

#[tokio::test]
async fn acts_are_read_in_their_order_with_who_and_when() {
    let pool = Pool::new();
    pool.submit_one(spec()).await;
    assert_eq!(pool.ledger.acts().await.unwrap(), []);
    assert_eq!(pool.ledger.record_act(&ada(), fault(1)).await.unwrap(), START);
    pool.advance(Duration::from_secs(1));
    let cleared = Act::FaultsCleared { waiting: 1 };
    pool.ledger.record_act(&ada(), cleared.clone()).await.unwrap();
    let acts = pool.ledger.acts().await.unwrap();
    let told: Vec<_> = acts.iter().map(|entry| (&entry.by, &entry.act)).collect();
    assert_eq!(told, [(&ada(), &fault(1)), (&ada(), &cleared)]);
    assert_eq!((acts[0].at, acts[1].at), (START, pool.now()));
    pool.check().await;
}

#[tokio::test]
async fn the_oldest_acts_are_forgotten() {
    let pool = Pool::new();
    for n in 0..ACTS_KEPT_MAX + 2 {
        pool.ledger.record_act(&ada(), fault(n)).await.unwrap();
    }
    let acts = pool.ledger.acts().await.unwrap();
    assert_eq!((acts.len(), &acts[0].act), (ACTS_KEPT_MAX, &fault(2)));
    pool.check().await;
}

#[tokio::test]
async fn an_act_that_cannot_be_recorded_is_refused() {
    let pool = Pool::new();
    pool.nexus.inner.set_full(true);
    let refused = pool.ledger.record_act(&ada(), fault(1)).await;
    assert!(matches!(refused, Err(LedgerError::Full)));
    pool.nexus.inner.set_full(false);
    assert_eq!(pool.ledger.acts().await.unwrap(), []);
}
