//! Limits and misuse: refused before anything is touched.
//!
//! Sizes are tried from both sides, and a batch with one bad transaction must leave no trace of the good ones.

use hiveforge_nexus::limits::{
    BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX, ENTRY_BYTES_MAX, FETCH_MAX, NAME_BYTES_MAX, PAGE_MAX,
    RECORD_BYTES_MAX, TAKE_MEMBERS_MAX, TRANSACTION_STEPS_MAX,
};
use hiveforge_nexus::{Ascending, Dump, Invalid, NexusError, Span, Transaction};

use crate::bench::{Bench, demand};
use crate::steps::{Steps as _, tx};

async fn refusal(bench: &Bench, transactions: Vec<Transaction>) -> Invalid {
    match bench.try_commit(transactions).await {
        Err(NexusError::Invalid(invalid)) => invalid,
        other => panic!("not refused: {other:?}"),
    }
}

fn max(invalid: Invalid) -> usize {
    match invalid {
        Invalid::Limit { max, .. } => max,
        other => panic!("no limit: {other:?}"),
    }
}

pub(crate) async fn what_exceeds_a_limit_is_refused_and_writes_nothing(bench: &Bench) {
    let text = |len: usize| "x".repeat(len);
    let check = async |bad: Vec<Transaction>, limit: usize| {
        let batch = std::iter::once(tx(1).put("first", "v")).chain(bad).collect();
        assert_eq!(max(refusal(bench, batch).await), limit);
    };
    check(
        vec![tx(2).put("k", &text(RECORD_BYTES_MAX + 1))],
        RECORD_BYTES_MAX,
    )
    .await;
    check(
        vec![tx(2).append("l", &text(ENTRY_BYTES_MAX + 1))],
        ENTRY_BYTES_MAX,
    )
    .await;
    check(vec![tx(2).put(&text(NAME_BYTES_MAX + 1), "v")], NAME_BYTES_MAX).await;
    check(
        vec![tx(2).place("s", &text(NAME_BYTES_MAX + 1), 1)],
        NAME_BYTES_MAX,
    )
    .await;
    check(vec![tx(2); BATCH_TRANSACTIONS_MAX], BATCH_TRANSACTIONS_MAX).await;
    let steps = (0..=TRANSACTION_STEPS_MAX).fold(tx(2), |tx, i| tx.place("s", &i.to_string(), 1));
    check(vec![steps], TRANSACTION_STEPS_MAX).await;
    let large = tx(2).put("k", &text(RECORD_BYTES_MAX));
    check(
        vec![large; BATCH_BYTES_MAX / RECORD_BYTES_MAX + 1],
        BATCH_BYTES_MAX,
    )
    .await;
    assert_eq!(bench.nexus.dump(&bench.space).await.unwrap(), Dump::default());

    bench
        .apply(
            tx(3)
                .put(&text(NAME_BYTES_MAX), &text(RECORD_BYTES_MAX))
                .append("l", &text(ENTRY_BYTES_MAX)),
        )
        .await;
}

pub(crate) async fn a_thing_named_twice_in_one_step_is_refused(bench: &Bench) {
    let twice = [
        tx(1).put("k", "1").put("k", "2"),
        tx(1).put("k", "1").drop_record("k"),
        tx(1).place("s", "k", 1).leave("s", "k"),
        tx(1).drop_log("k").append("k", "1"),
        tx(1).drop_log("k").trim("k", 1),
    ];
    for tx in twice {
        let refusal = refusal(bench, vec![tx]).await;
        assert!(
            matches!(&refusal, Invalid::Twice { name, .. } if name == "k"),
            "{refusal}"
        );
    }
    assert_eq!(
        refusal(bench, vec![tx(1).put("", "v")]).await,
        Invalid::Empty { what: "key" }
    );
    assert_eq!(
        refusal(bench, vec![tx(1).place("s\0", "m", 1)]).await,
        Invalid::Nul { what: "set" }
    );
    for sets in [["a", "a"], ["a", "held"]] {
        let refused = bench.nexus.take(&bench.space, vec![demand(&sets, 1, 1)]).await;
        assert!(matches!(
            refused,
            Err(NexusError::Invalid(Invalid::Twice { what: "set", .. }))
        ));
    }
}

pub(crate) async fn a_page_beyond_the_limit_is_refused(bench: &Bench) {
    let check = |answer: Option<NexusError>, limit: usize| match answer {
        Some(NexusError::Invalid(invalid)) => assert_eq!(max(invalid), limit),
        other => panic!("not refused: {other:?}"),
    };
    let (nexus, space) = (&bench.nexus, &bench.space);
    let n = PAGE_MAX + 1;
    check(
        nexus
            .range(
                space,
                "s",
                Ascending {
                    after: None,
                    up_to: None,
                    n,
                },
            )
            .await
            .err(),
        PAGE_MAX,
    );
    check(
        nexus.read_log(space, "l", Span { from: 0, n }).await.err(),
        PAGE_MAX,
    );
    check(
        nexus
            .read_thread(space, "l", "t", Span { from: 0, n })
            .await
            .err(),
        PAGE_MAX,
    );
    check(nexus.heads(space, "lane", n).await.err(), PAGE_MAX);
    let names = vec!["k".to_owned(); FETCH_MAX + 1];
    check(nexus.fetch(space, &names).await.err(), FETCH_MAX);
    check(nexus.scores(space, "s", &names).await.err(), FETCH_MAX);
    check(nexus.counters(space, &names).await.err(), FETCH_MAX);
    check(
        nexus
            .take(space, vec![demand(&["s"], TAKE_MEMBERS_MAX + 1, 1)])
            .await
            .err(),
        TAKE_MEMBERS_MAX,
    );
    let nested = nexus.heads(space, "lane/a", 1).await.err();
    assert!(matches!(
        nested,
        Some(NexusError::Invalid(Invalid::Nested { .. }))
    ));
}
