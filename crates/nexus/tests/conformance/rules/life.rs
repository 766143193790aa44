//! Around the data: hints, the clock, many callers, the end.
//!
//! These rules have no counterpart in the reference, which knows one caller and no time.

use std::sync::Arc;

use futures_util::future::join_all;
use hiveforge_nexus::{Durability, Hint, NexusError, Outcome};

use crate::bench::{Bench, demand, space};
use crate::steps::{Steps as _, log_len, tx};

pub(crate) async fn hints_are_published_after_the_commit_and_only_if_applied(bench: &Bench) {
    bench.apply(tx(1).hint("before anybody listened")).await;
    let mut hints = bench.watch().await;
    let elsewhere = vec![tx(2).hint("elsewhere")];
    bench
        .nexus
        .commit(&space("system"), elsewhere, Durability::Process)
        .await
        .unwrap();
    bench.commit(tx(3).guard(log_len("l", 1)).hint("refused")).await;
    bench
        .apply(tx(4).put("k", "v").hint("lane/a").hint("lane/b"))
        .await;
    bench.commit(tx(4).put("k", "v").hint("already")).await;
    bench.apply(tx(5).hint("last")).await;
    for expected in ["lane/a", "lane/b", "last"] {
        assert_eq!(hints.next().await, Some(Hint::Said(expected.into())));
        assert_eq!(bench.value("k").await.as_deref(), Some("v"));
    }
}

pub(crate) async fn the_clock_does_not_go_back(bench: &Bench) {
    let mut latest = bench.nexus.now().await.unwrap();
    for _ in 0..100 {
        let now = bench.nexus.now().await.unwrap();
        assert!(now >= latest);
        latest = now;
    }
}

/// Appends from many callers and takes in between: nothing is lost, nothing comes twice.
pub(crate) async fn many_callers_at_once_lose_nothing(bench: &Bench) {
    const CALLERS: u64 = 40;
    let submit = async |i: u64| {
        let durability = if i.is_multiple_of(2) {
            Durability::Disk
        } else {
            Durability::Process
        };
        let tx = tx(i + 1)
            .put(&format!("job/{i}"), "v")
            .place("lane/a", &i.to_string(), i)
            .append("l", "e")
            .add("c", 1);
        assert_eq!(
            bench
                .nexus
                .commit(&bench.space, vec![tx], durability)
                .await
                .unwrap(),
            [Outcome::Applied]
        );
        bench.take(vec![demand(&["lane/a"], 1, CALLERS)]).await.remove(0)
    };
    let answers = join_all((0..CALLERS).map(submit)).await;
    let mut members: Vec<u64> = answers
        .into_iter()
        .flatten()
        .map(|taken| taken.member.parse().unwrap())
        .collect();
    members.sort_unstable();
    assert_eq!(members, (0..CALLERS).collect::<Vec<_>>());
    assert_eq!(
        (
            bench.log_len("l").await,
            bench.size("held").await,
            bench.counter("c").await
        ),
        (40, 40, 40)
    );
}

pub(crate) async fn a_closed_nexus_answers_closed(bench: &Bench) {
    let nexus = Arc::clone(&bench.nexus);
    let mut hints = bench.watch().await;
    nexus.close().await.unwrap();
    assert!(matches!(
        bench.try_commit(vec![tx(1)]).await,
        Err(NexusError::Closed)
    ));
    assert!(matches!(
        nexus.take(&bench.space, vec![]).await,
        Err(NexusError::Closed)
    ));
    assert!(matches!(
        nexus.size(&bench.space, "s").await,
        Err(NexusError::Closed)
    ));
    assert!(matches!(nexus.now().await, Err(NexusError::Closed)));
    assert_eq!(hints.next().await, None);
}
