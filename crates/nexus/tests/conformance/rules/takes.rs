//! Takes: order, bounds, holds, and the records that come along.
//!
//! A take is several pops in one step, so most rules look at what it leaves behind as well as at what it returns.

use hiveforge_nexus::{Hold, Record, Version};

use crate::bench::{Bench, demand, places, score, taken};
use crate::steps::{Steps as _, tx};

pub(crate) async fn a_take_merges_sets_by_score_member_and_set(bench: &Bench) {
    let many = tx(1)
        .place("b", "m", 2)
        .place("a", "m", 2)
        .place("b", "l", 2)
        .place("a", "z", 1);
    bench
        .apply(many.place("c", "k", 3).place("unasked", "j", 0))
        .await;
    let answer = bench.take(vec![demand(&["c", "b", "a", "never"], 9, 9)]).await;
    let order = [
        ("a", "z", 1),
        ("b", "l", 2),
        ("a", "m", 2),
        ("b", "m", 2),
        ("c", "k", 3),
    ];
    assert_eq!(taken(&answer[0]), order);
    assert_eq!(bench.members("unasked").await, places(&[(0, "j")]));
}

pub(crate) async fn a_take_stops_at_its_score_and_at_its_number(bench: &Bench) {
    bench
        .apply(
            tx(1)
                .place("a", "p", 1)
                .place("a", "q", 2)
                .place("a", "r", 3)
                .place("b", "s", 3),
        )
        .await;
    let answer = bench.take(vec![demand(&["a", "b"], 9, 2)]).await;
    assert_eq!(taken(&answer[0]), [("a", "p", 1), ("a", "q", 2)]);
    let answer = bench.take(vec![demand(&["a", "b"], 1, 9)]).await;
    assert_eq!(taken(&answer[0]), [("a", "r", 3)]);
    assert_eq!(
        bench.take(vec![demand(&["b"], 0, 9), demand(&[], 9, 9)]).await,
        [vec![], vec![]]
    );
    assert_eq!(bench.members("b").await, places(&[(3, "s")]));
}

pub(crate) async fn what_is_taken_is_held_until_its_deadline(bench: &Bench) {
    bench
        .apply(tx(1).place("a", "m", 1).place("a", "n", 2).place("held", "m", 5))
        .await;
    bench.take(vec![demand(&["a"], 9, 9)]).await;
    assert_eq!(bench.members("a").await, []);
    assert_eq!(bench.members("held").await, places(&[(99, "m"), (99, "n")]));
    assert_eq!((bench.size("a").await, bench.size("held").await), (0, 2));
}

pub(crate) async fn later_demands_see_earlier_ones(bench: &Bench) {
    bench
        .apply(tx(1).place("a", "m", 1).place("a", "n", 2).place("a", "o", 3))
        .await;
    let mut elsewhere = demand(&["held", "a"], 9, 98);
    elsewhere.hold = Hold {
        set: "other".to_owned(),
        until: score(7),
    };
    let mut early = demand(&["a"], 1, 9);
    early.hold.until = score(50);
    let answer = bench.take(vec![early, demand(&["a"], 1, 9), elsewhere]).await;
    let answer: Vec<_> = answer.iter().map(|demand| taken(demand)).collect();
    assert_eq!(
        answer,
        [
            vec![("a", "m", 1)],
            vec![("a", "n", 2)],
            vec![("a", "o", 3), ("held", "m", 50)]
        ]
    );
    assert_eq!(bench.members("held").await, places(&[(99, "n")]));
    assert_eq!(bench.members("other").await, places(&[(7, "m"), (7, "o")]));
}

pub(crate) async fn a_take_brings_the_records_of_its_members(bench: &Bench) {
    bench
        .apply(
            tx(1)
                .put("job/m", "job")
                .put("spec/m", "spec")
                .place("a", "m", 1)
                .place("a", "n", 2),
        )
        .await;
    let mut with_records = demand(&["a"], 9, 9);
    with_records.with = vec!["spec/".to_owned(), "job/".to_owned()];
    let answer = bench.take(vec![with_records]).await.remove(0);
    let record = |bytes: &[u8]| {
        Some(Record {
            version: Version(1),
            bytes: bytes.to_vec(),
        })
    };
    assert_eq!(answer[0].records, [record(b"spec"), record(b"job")]);
    assert_eq!(answer[1].records, [None, None]);
}

pub(crate) async fn a_take_of_many_members_keeps_their_order(bench: &Bench) {
    let set = |i: u64| if i.is_multiple_of(3) { "a" } else { "b" };
    let many = (0..200).fold(tx(1), |tx, i| {
        tx.place(set(i), &format!("{:03}", (i * 77) % 200), (i * 77) % 200 / 4)
    });
    bench.apply(many).await;
    let first = bench.take(vec![demand(&["a", "b"], 150, 999)]).await.remove(0);
    let rest = bench.take(vec![demand(&["a", "b"], 150, 999)]).await.remove(0);
    let order: Vec<String> = first.into_iter().chain(rest).map(|taken| taken.member).collect();
    assert_eq!(order, (0..200).map(|i| format!("{i:03}")).collect::<Vec<_>>());
    assert_eq!(bench.size("held").await, 200);
}
