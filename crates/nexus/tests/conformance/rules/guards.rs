//! Each kind of guard: when it holds, and what it reports when it does not.
//!
//! What is reported is what a caller decides anew with, so it is compared whole.

use hiveforge_nexus::{Current, Outcome, Record, Version};

use crate::bench::{Bench, score};
use crate::steps::{Steps as _, log_len, member, record, room, tx};

fn refused(current: Current) -> Outcome {
    Outcome::Refused { guard: 0, current }
}

pub(crate) async fn a_record_guard_wants_exactly_this_version(bench: &Bench) {
    bench.apply(tx(u64::MAX).put("k", "v")).await;
    bench
        .apply(tx(2).guard(record("k", Some(u64::MAX))).put("k", "w"))
        .await;
    let found = Record {
        version: Version(2),
        bytes: b"w".to_vec(),
    };
    let stale = tx(3).guard(record("k", Some(u64::MAX))).put("k", "x");
    assert_eq!(bench.commit(stale).await, refused(Current::Record(Some(found))));
    let missing = tx(4).guard(record("none", Some(1)));
    assert_eq!(bench.commit(missing).await, refused(Current::Record(None)));
}

pub(crate) async fn a_record_guard_can_want_absence(bench: &Bench) {
    bench.apply(tx(1).guard(record("k", None)).put("k", "v")).await;
    let found = Record {
        version: Version(1),
        bytes: b"v".to_vec(),
    };
    assert_eq!(
        bench.commit(tx(2).guard(record("k", None))).await,
        refused(Current::Record(Some(found)))
    );
}

pub(crate) async fn a_member_guard_wants_exactly_this_score(bench: &Bench) {
    bench.apply(tx(1).place("deadlines", "m", 10)).await;
    bench
        .apply(
            tx(2)
                .guard(member("deadlines", "m", Some(10)))
                .place("deadlines", "m", 20),
        )
        .await;
    let reap = tx(3)
        .guard(member("deadlines", "m", Some(10)))
        .leave("deadlines", "m");
    assert_eq!(
        bench.commit(reap).await,
        refused(Current::Member(Some(score(20))))
    );
}

pub(crate) async fn a_member_guard_can_want_absence(bench: &Bench) {
    bench
        .apply(tx(1).guard(member("s", "m", None)).place("s", "m", 0))
        .await;
    assert_eq!(
        bench.commit(tx(2).guard(member("s", "m", None))).await,
        refused(Current::Member(Some(score(0))))
    );
}

pub(crate) async fn room_counts_what_the_moves_leave_behind(bench: &Bench) {
    bench
        .apply(tx(1).guard(room("g", 2)).place("g", "a", 1).place("g", "b", 1))
        .await;
    assert_eq!(
        bench.commit(tx(2).guard(room("g", 2)).place("g", "c", 1)).await,
        refused(Current::Room(3))
    );
    bench.apply(tx(3).guard(room("g", 2)).place("g", "b", 7)).await;
    bench
        .apply(
            tx(4)
                .guard(room("g", 2))
                .leave("g", "a")
                .place("g", "c", 1)
                .leave("g", "never"),
        )
        .await;
    assert_eq!(
        bench.commit(tx(5).guard(room("g", 1))).await,
        refused(Current::Room(2))
    );
    assert_eq!(
        bench.commit(tx(6).guard(room("g", 0)).leave("g", "b")).await,
        refused(Current::Room(1))
    );
    bench
        .apply(tx(7).guard(room("g", 0)).leave("g", "b").leave("g", "c"))
        .await;
    bench.apply(tx(8).guard(room("never", 0))).await;
}

pub(crate) async fn a_log_len_guard_counts_trimmed_entries(bench: &Bench) {
    bench
        .apply(tx(1).guard(log_len("l", 0)).append("l", "0").append("l", "1"))
        .await;
    bench.apply(tx(2).trim("l", 2)).await;
    bench.apply(tx(3).guard(log_len("l", 2)).append("l", "2")).await;
    assert_eq!(
        bench.commit(tx(4).guard(log_len("l", 2))).await,
        refused(Current::LogLen(3))
    );
}

pub(crate) async fn guards_see_the_state_before_their_transaction(bench: &Bench) {
    let tx = tx(1)
        .guard(record("k", None))
        .guard(member("s", "m", None))
        .guard(log_len("l", 0));
    bench
        .apply(tx.put("k", "v").place("s", "m", 1).append("l", "0"))
        .await;
}
