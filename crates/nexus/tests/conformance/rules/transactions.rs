//! Transactions: atomicity, independence within a batch, and the recognition of what was applied before.
//!
//! What a refused or repeated transaction must not do is checked on the whole dump or on things that would count twice.

use hiveforge_nexus::{Current, Durability, Outcome, Record, Version};

use crate::bench::{Bench, places, space};
use crate::steps::{Steps as _, log_len, member, record, tx};

fn refused(guard: usize, current: Current) -> Outcome {
    Outcome::Refused { guard, current }
}

pub(crate) async fn a_transaction_without_guards_is_applied(bench: &Bench) {
    let all = tx(7)
        .put("k", "v")
        .place("s", "m", 3)
        .add("c", 2)
        .append("l", "e");
    assert_eq!(bench.commit(all).await, Outcome::Applied);
    let stored = bench
        .nexus
        .fetch(&bench.space, &["k".to_owned(), "none".to_owned()])
        .await
        .unwrap();
    assert_eq!(
        stored,
        [
            Some(Record {
                version: Version(7),
                bytes: b"v".to_vec()
            }),
            None
        ]
    );
    assert_eq!(bench.members("s").await, places(&[(3, "m")]));
    assert_eq!(bench.counter("c").await, 2);
    assert_eq!(bench.log("l", 0, 9).await, places(&[(0, "e")]));
}

pub(crate) async fn a_refused_transaction_writes_nothing(bench: &Bench) {
    let before = tx(1)
        .put("k", "old")
        .place("s", "m", 1)
        .add("c", 1)
        .append("l", "0");
    bench.apply(before).await;
    let state = bench.nexus.dump(&bench.space).await.unwrap();
    let all = tx(2)
        .guard(log_len("l", 5))
        .drop_record("gone")
        .put("k", "new")
        .place("s", "m", 2);
    let all = all
        .place("t", "n", 1)
        .add("c", 1)
        .append("l", "1")
        .trim("l", 1)
        .append("new", "x");
    assert_eq!(bench.commit(all).await, refused(0, Current::LogLen(1)));
    assert_eq!(bench.nexus.dump(&bench.space).await.unwrap(), state);
}

pub(crate) async fn the_first_guard_that_fails_is_reported(bench: &Bench) {
    let guarded = tx(1)
        .guard(record("k", None))
        .guard(member("s", "m", Some(4)))
        .guard(log_len("l", 8));
    assert_eq!(bench.commit(guarded).await, refused(1, Current::Member(None)));
}

pub(crate) async fn later_transactions_of_a_batch_see_earlier_ones(bench: &Bench) {
    let second = tx(2)
        .guard(record("k", Some(1)))
        .guard(member("s", "m", Some(1)))
        .put("k", "two");
    let outcomes = bench
        .commit_all(vec![tx(1).put("k", "one").place("s", "m", 1), second])
        .await;
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied]);
    assert_eq!(bench.value("k").await.as_deref(), Some("two"));
}

pub(crate) async fn a_refusal_does_not_touch_its_neighbours(bench: &Bench) {
    let batch = vec![
        tx(1).put("a", "1").append("l", "1"),
        tx(2).guard(record("a", None)).put("b", "2").append("l", "2"),
        tx(3).put("c", "3").append("l", "3"),
    ];
    let outcomes = bench.commit_all(batch).await;
    let found = Record {
        version: Version(1),
        bytes: b"1".to_vec(),
    };
    assert_eq!(
        outcomes,
        [
            Outcome::Applied,
            refused(0, Current::Record(Some(found))),
            Outcome::Applied
        ]
    );
    assert_eq!(bench.value("b").await, None);
    assert_eq!(bench.log("l", 0, 9).await, places(&[(0, "1"), (1, "3")]));
}

pub(crate) async fn a_repeated_transaction_is_recognized_by_any_of_its_records(bench: &Bench) {
    let both = tx(1)
        .guard(record("a", None))
        .put("a", "1")
        .put("b", "1")
        .append("l", "1")
        .add("c", 1);
    bench.apply(both.clone()).await;
    assert_eq!(bench.commit(both.clone()).await, Outcome::Already);
    bench.apply(tx(2).put("a", "2")).await;
    assert_eq!(bench.commit(both.clone()).await, Outcome::Already);
    assert_eq!((bench.log_len("l").await, bench.counter("c").await), (1, 1));
    bench.apply(tx(3).put("b", "3")).await;
    let found = Record {
        version: Version(2),
        bytes: b"2".to_vec(),
    };
    assert_eq!(bench.commit(both).await, refused(0, Current::Record(Some(found))));
}

pub(crate) async fn a_repetition_is_recognized_before_its_guards_are_checked(bench: &Bench) {
    let once = tx(u64::MAX).guard(record("a", None)).put("a", "1");
    let outcomes = bench.commit_all(vec![once.clone(), once]).await;
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Already]);
}

pub(crate) async fn a_transaction_without_puts_is_not_recognized(bench: &Bench) {
    let renew = tx(1).place("deadlines", "m", 5);
    bench.apply(renew.clone()).await;
    bench.apply(renew).await;
}

pub(crate) async fn a_dropped_record_is_absent_and_a_missing_one_is_no_error(bench: &Bench) {
    bench.apply(tx(1).put("a", "1").put("b", "1")).await;
    bench.apply(tx(2).drop_record("a").drop_record("never")).await;
    assert_eq!(
        (bench.value("a").await, bench.value("b").await.as_deref()),
        (None, Some("1"))
    );
    bench
        .apply(tx(3).guard(record("a", None)).put("a", "again"))
        .await;
}

pub(crate) async fn spaces_do_not_see_each_other(bench: &Bench) {
    let other = space("system");
    bench
        .apply(
            tx(1)
                .put("k", "here")
                .place("lane/a", "m", 1)
                .append("l", "here")
                .add("c", 1),
        )
        .await;
    let there = tx(2)
        .guard(record("k", None))
        .put("k", "there")
        .place("lane/a", "m", 9)
        .append("l", "there");
    let outcomes = bench
        .nexus
        .commit(&other, vec![there], Durability::Process)
        .await
        .unwrap();
    assert_eq!(outcomes, [Outcome::Applied]);
    assert_eq!(bench.value("k").await.as_deref(), Some("here"));
    assert_eq!(bench.members("lane/a").await, places(&[(1, "m")]));
    assert_eq!(bench.heads("lane", 9).await, [("lane/a".to_owned(), 1)]);
    assert_eq!(bench.log("l", 0, 9).await, places(&[(0, "here")]));
    assert_eq!(
        bench.nexus.counters(&other, &["c".to_owned()]).await.unwrap(),
        [0]
    );
}
