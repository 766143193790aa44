//! The index of the non-empty sets of a family by the score of their first member.
//!
//! It must change with every move and every take, also when the first member leaves or another one comes before it.

use crate::bench::{Bench, demand};
use crate::steps::{Steps as _, tx};

fn heads(heads: &[(&str, u64)]) -> Vec<(String, u64)> {
    heads
        .iter()
        .map(|&(set, score)| (set.to_owned(), score))
        .collect()
}

pub(crate) async fn heads_are_the_first_scores_of_the_sets_of_a_family(bench: &Bench) {
    let many = tx(1)
        .place("lane/b", "x", 4)
        .place("lane/a", "y", 4)
        .place("lane/c/d", "z", 2)
        .place("lane/a", "w", 9);
    bench
        .apply(
            many.place("lane", "v", 1)
                .place("lanes/q", "u", 1)
                .place("held", "t", 1),
        )
        .await;
    assert_eq!(
        bench.heads("lane", 9).await,
        heads(&[("lane/c/d", 2), ("lane/a", 4), ("lane/b", 4)])
    );
    assert_eq!(bench.heads("lanes", 9).await, heads(&[("lanes/q", 1)]));
    assert_eq!(bench.heads("held", 9).await, []);
}

pub(crate) async fn heads_follow_moves_and_takes(bench: &Bench) {
    bench
        .apply(
            tx(1)
                .place("lane/a", "x", 4)
                .place("lane/a", "y", 6)
                .place("lane/b", "z", 5),
        )
        .await;
    bench.apply(tx(2).place("lane/a", "x", 7)).await;
    assert_eq!(
        bench.heads("lane", 9).await,
        heads(&[("lane/b", 5), ("lane/a", 6)])
    );
    bench.apply(tx(3).place("lane/a", "w", 1)).await;
    assert_eq!(
        bench.heads("lane", 9).await,
        heads(&[("lane/a", 1), ("lane/b", 5)])
    );
    bench.take(vec![demand(&["lane/a", "lane/b"], 2, 9)]).await;
    assert_eq!(bench.heads("lane", 9).await, heads(&[("lane/a", 6)]));
    bench.apply(tx(4).leave("lane/a", "y")).await;
    assert_eq!(bench.heads("lane", 9).await, heads(&[("lane/a", 7)]));
    bench.apply(tx(5).leave("lane/a", "x")).await;
    assert_eq!(bench.heads("lane", 9).await, []);
    bench.apply(tx(6).place("lane/a", "x", 3)).await;
    assert_eq!(bench.heads("lane", 9).await, heads(&[("lane/a", 3)]));
}

pub(crate) async fn heads_of_many_sets_are_cut_after_the_first(bench: &Bench) {
    let many = (0..50).fold(tx(1), |tx, i| tx.place(&format!("lane/{i:02}"), "m", 100 - i));
    bench.apply(many).await;
    assert_eq!(
        bench.heads("lane", 2).await,
        heads(&[("lane/49", 51), ("lane/48", 52)])
    );
    assert_eq!(bench.heads("lane", 0).await, []);
}
