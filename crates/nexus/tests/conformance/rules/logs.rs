//! Logs: positions, threads, trims.
//!
//! A position names an entry for ever: no trim may shift it or let it be used again.

use hiveforge_nexus::limits::{ENTRY_BYTES_MAX, READ_BYTES_MAX};
use hiveforge_nexus::{Entry, Span};

use crate::bench::{Bench, places};
use crate::steps::{Steps as _, tx};

pub(crate) async fn positions_rise_from_zero_and_are_never_used_twice(bench: &Bench) {
    bench
        .apply(tx(1).append("l", "0").append("other", "x").append("l", "1"))
        .await;
    bench.apply(tx(2).append("l", "2").trim("l", 2)).await;
    bench.apply(tx(3).trim("l", 99).append("l", "3")).await;
    assert_eq!(bench.log("l", 0, 9).await, []);
    bench.apply(tx(4).append("l", "4")).await;
    assert_eq!(bench.log("l", 0, 9).await, places(&[(4, "4")]));
    assert_eq!(bench.log("other", 0, 9).await, places(&[(0, "x")]));
    assert_eq!(bench.log("never", 0, 9).await, []);
}

pub(crate) async fn a_thread_is_read_without_the_others(bench: &Bench) {
    let many = tx(1)
        .append_to_thread("l", "a", "a0")
        .append("l", "none")
        .append_to_thread("l", "b", "b0");
    bench
        .apply(many.append_to_thread("other", "a", "elsewhere"))
        .await;
    bench
        .apply(
            tx(2)
                .append_to_thread("l", "a", "a1")
                .append_to_thread("l", "a", "a2"),
        )
        .await;
    let read = async |thread: &str, from: u64, n: usize| {
        let entries = bench
            .nexus
            .read_thread(&bench.space, "l", thread, Span { from, n })
            .await
            .unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.position, String::from_utf8(entry.bytes).unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(read("a", 0, 9).await, places(&[(0, "a0"), (3, "a1"), (4, "a2")]));
    assert_eq!(read("a", 1, 1).await, places(&[(3, "a1")]));
    assert_eq!(read("none", 0, 9).await, []);
    bench.apply(tx(3).trim("l", 4)).await;
    assert_eq!(
        (read("a", 0, 9).await, read("b", 0, 9).await),
        (places(&[(4, "a2")]), vec![])
    );
    let entries = bench
        .nexus
        .read_log(&bench.space, "l", Span { from: 0, n: 9 })
        .await
        .unwrap();
    assert_eq!(
        entries,
        [Entry {
            position: 4,
            thread: Some("a".to_owned()),
            bytes: b"a2".to_vec()
        }]
    );
}

pub(crate) async fn a_trimmed_log_keeps_its_length(bench: &Bench) {
    bench
        .apply(tx(1).append("l", "0").append("l", "1").append("l", "2"))
        .await;
    bench.apply(tx(2).trim("l", 1).trim("never", 5)).await;
    assert_eq!(bench.log("l", 0, 9).await, places(&[(1, "1"), (2, "2")]));
    assert_eq!(bench.log("l", 2, 9).await, places(&[(2, "2")]));
    bench.apply(tx(3).trim("l", u64::MAX)).await;
    assert_eq!((bench.log_len("l").await, bench.log_len("never").await), (3, 0));
    assert_eq!(bench.log("l", u64::MAX, 9).await, []);
}

pub(crate) async fn a_dropped_log_begins_again(bench: &Bench) {
    bench
        .apply(tx(1).append_to_thread("l", "t", "0").append("l", "1"))
        .await;
    bench.apply(tx(2).drop_log("l").drop_log("never")).await;
    assert_eq!(bench.log_len("l").await, 0);
    bench.apply(tx(3).append("l", "new")).await;
    assert_eq!(bench.log("l", 0, 9).await, places(&[(0, "new")]));
    let thread = bench
        .nexus
        .read_thread(&bench.space, "l", "t", Span { from: 0, n: 9 })
        .await
        .unwrap();
    assert_eq!(thread, []);
}

pub(crate) async fn a_page_of_a_log_ends_early_when_it_is_large(bench: &Bench) {
    let large = "x".repeat(ENTRY_BYTES_MAX);
    let needed = READ_BYTES_MAX / ENTRY_BYTES_MAX + 1;
    bench
        .apply((0..needed + 2).fold(tx(1), |tx, _| tx.append("l", &large)))
        .await;
    let first = bench.log("l", 0, 1_000).await;
    assert_eq!(first.len(), needed);
    let rest = bench.log("l", needed as u64, 1_000).await;
    assert_eq!(
        rest.iter().map(|(position, _)| *position).collect::<Vec<_>>(),
        [needed as u64, needed as u64 + 1]
    );
}
