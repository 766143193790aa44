//! Counters: sums that stay exact.
//!
//! They end where a double ends to be exact, so that a backend that counts in doubles agrees.

use hiveforge_nexus::SCORE_MAX;

use crate::bench::Bench;
use crate::steps::{Steps as _, tx};

pub(crate) async fn counters_add_up_from_zero(bench: &Bench) {
    bench.apply(tx(1).add("c", 5).add("d", -2).add("c", -1)).await;
    bench.apply(tx(2).add("c", 3).add("d", 2)).await;
    let names = ["d", "c", "never"].map(str::to_owned);
    assert_eq!(
        bench.nexus.counters(&bench.space, &names).await.unwrap(),
        [0, 7, 0]
    );
}

pub(crate) async fn counters_saturate_where_integers_stop_being_exact(bench: &Bench) {
    let bound = SCORE_MAX.cast_signed();
    bench.apply(tx(1).add("c", i64::MAX).add("d", i64::MIN)).await;
    assert_eq!(
        (bench.counter("c").await, bench.counter("d").await),
        (bound, -bound)
    );
    bench.apply(tx(2).add("c", -1).add("d", 1)).await;
    assert_eq!(
        (bench.counter("c").await, bench.counter("d").await),
        (bound - 1, 1 - bound)
    );
}
