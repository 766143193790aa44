//! Ordered sets: one place for each member, exact scores, pages in both directions.
//!
//! Most rules speak of one small set with two members of the same score, where orders are easily mixed up.

use hiveforge_nexus::{Ascending, Descending, SCORE_MAX};

use crate::bench::{Bench, places, score};
use crate::steps::{Steps as _, tx};

/// 1 a, 2 b, 2 c, 5 d
async fn four(bench: &Bench) {
    bench
        .apply(
            tx(1)
                .place("s", "d", 5)
                .place("s", "b", 2)
                .place("s", "c", 2)
                .place("s", "a", 1),
        )
        .await;
}

pub(crate) async fn a_move_changes_the_score_and_keeps_one_place(bench: &Bench) {
    four(bench).await;
    bench.apply(tx(2).place("s", "d", 0).place("s", "a", 1)).await;
    assert_eq!(
        bench.members("s").await,
        places(&[(0, "d"), (1, "a"), (2, "b"), (2, "c")])
    );
    assert_eq!(bench.size("s").await, 4);
}

pub(crate) async fn a_move_out_of_a_set_is_no_error_when_absent(bench: &Bench) {
    four(bench).await;
    bench
        .apply(tx(2).leave("s", "b").leave("s", "never").leave("never", "m"))
        .await;
    assert_eq!(bench.members("s").await, places(&[(1, "a"), (2, "c"), (5, "d")]));
    assert_eq!(bench.members("never").await, []);
}

pub(crate) async fn equal_scores_are_ordered_by_member(bench: &Bench) {
    bench
        .apply(
            tx(1)
                .place("s", "b", 1)
                .place("s", "B", 1)
                .place("s", "ä", 1)
                .place("s", "a-", 1),
        )
        .await;
    bench.apply(tx(2).place("s", "a", 1)).await;
    assert_eq!(
        bench.members("s").await,
        places(&[(1, "B"), (1, "a"), (1, "a-"), (1, "b"), (1, "ä")])
    );
}

pub(crate) async fn the_largest_score_is_kept_exactly(bench: &Bench) {
    bench
        .apply(
            tx(1)
                .place("s", "max", SCORE_MAX)
                .place("s", "less", SCORE_MAX - 1)
                .place("s", "zero", 0),
        )
        .await;
    let expected = places(&[(0, "zero"), (SCORE_MAX - 1, "less"), (SCORE_MAX, "max")]);
    assert_eq!(bench.members("s").await, expected);
    let back = bench
        .descending(
            "s",
            Descending {
                before: None,
                down_to: None,
                n: 1,
            },
        )
        .await;
    assert_eq!(back, places(&[(SCORE_MAX, "max")]));
}

pub(crate) async fn a_page_begins_behind_its_place_and_ends_with_its_score(bench: &Bench) {
    four(bench).await;
    let page = async |after: Option<(u64, &str)>, up_to: Option<u64>, n: usize| {
        let after = after.map(|(at, member)| (score(at), member.to_owned()));
        bench
            .ascending(
                "s",
                Ascending {
                    after,
                    up_to: up_to.map(score),
                    n,
                },
            )
            .await
    };
    assert_eq!(page(None, None, 2).await, places(&[(1, "a"), (2, "b")]));
    assert_eq!(page(Some((2, "b")), None, 9).await, places(&[(2, "c"), (5, "d")]));
    assert_eq!(page(Some((2, "bb")), None, 1).await, places(&[(2, "c")]));
    assert_eq!(
        page(None, Some(2), 9).await,
        places(&[(1, "a"), (2, "b"), (2, "c")])
    );
    assert_eq!(page(Some((1, "a")), Some(1), 9).await, []);
    assert_eq!(page(None, None, 0).await, []);
    assert_eq!(page(Some((SCORE_MAX, "z")), None, 9).await, []);
}

pub(crate) async fn a_page_backwards_begins_below_its_place_and_ends_with_its_score(bench: &Bench) {
    four(bench).await;
    let page = async |before: Option<(u64, &str)>, down_to: Option<u64>, n: usize| {
        let before = before.map(|(at, member)| (score(at), member.to_owned()));
        bench
            .descending(
                "s",
                Descending {
                    before,
                    down_to: down_to.map(score),
                    n,
                },
            )
            .await
    };
    assert_eq!(page(None, None, 2).await, places(&[(5, "d"), (2, "c")]));
    assert_eq!(page(Some((2, "c")), None, 9).await, places(&[(2, "b"), (1, "a")]));
    assert_eq!(page(Some((3, "x")), None, 1).await, places(&[(2, "c")]));
    assert_eq!(
        page(None, Some(2), 9).await,
        places(&[(5, "d"), (2, "c"), (2, "b")])
    );
    assert_eq!(page(Some((1, "a")), None, 9).await, []);
}

pub(crate) async fn sizes_and_scores_are_those_of_the_members(bench: &Bench) {
    four(bench).await;
    assert_eq!((bench.size("s").await, bench.size("never").await), (4, 0));
    let members = ["d", "never", "a"].map(str::to_owned);
    let scores = bench.nexus.scores(&bench.space, "s", &members).await.unwrap();
    assert_eq!(scores, [Some(score(5)), None, Some(score(1))]);
    assert_eq!(
        bench.nexus.scores(&bench.space, "never", &members).await.unwrap(),
        [None; 3]
    );
}
