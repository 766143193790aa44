//! Questions and messages through our envelope (bound, counts, deadline, typed answers) beside bare `ractor`.
//!
//! On two threads by the clock, as a user would have it: much of that is waking the other thread. On one thread by the
//! processor time of that thread, which is the cost alone, and does not swing with what else the machine does.

use std::future::Future;
use std::time::Instant;

use crate::counter::{BURST, Bare, Ours};
use crate::report::{Row, Section, Target};
use crate::{LIMIT, Scale, THREADS, on_threads, tree_of};

/// To reach, of what bare `ractor` does in the same time.
const OF_BARE: f64 = 0.6;

pub(crate) fn measure(scale: Scale) -> Section {
    let rows = [THREADS, 1].map(|threads| on_threads(threads, measure_on(threads, scale)));
    let Scale {
        message_rounds,
        asks,
        bursts,
        ..
    } = scale;
    Section {
        what: format!("{asks} questions, {bursts} bursts of {BURST}, {message_rounds} rounds"),
        rows: rows.into_iter().flatten().collect(),
    }
}

/// Nanoseconds for one question and for one message of a burst, by round.
#[derive(Default)]
struct Took {
    ask: Vec<f64>,
    tell: Vec<f64>,
}

async fn measure_on(threads: usize, scale: Scale) -> Vec<Row> {
    let clock = if threads == 1 {
        Clock::Processor
    } else {
        Clock::Wall
    };
    let ours = Ours::new();
    let tree = tree_of([ours.spec()]).await;
    let bare = Bare::start().await;
    let (mut of_ours, mut of_bare) = (Took::default(), Took::default());
    // One round more, which only warms up.
    for round in 0..=scale.message_rounds {
        let asks = [
            timed(clock, bare.asks(scale.asks)).await,
            timed(clock, ours.asks(scale.asks)).await,
        ];
        let bursts = [
            timed(clock, bare.bursts(scale.bursts)).await,
            timed(clock, ours.bursts(scale.bursts)).await,
        ];
        if round > 0 {
            let [bare_ask, our_ask] = asks.map(|time| time / scale.asks as f64);
            let messages = (scale.bursts * BURST) as f64;
            let [bare_tell, our_tell] = bursts.map(|time| time / messages);
            of_bare.ask.push(bare_ask);
            of_bare.tell.push(bare_tell);
            of_ours.ask.push(our_ask);
            of_ours.tell.push(our_tell);
        }
    }
    bare.stop();
    assert!(tree.stop(LIMIT).await.is_empty(), "everything stops");
    rows(clock, &of_bare, &of_ours)
}

fn rows(clock: Clock, bare: &Took, ours: &Took) -> Vec<Row> {
    let on = match clock {
        Clock::Wall => "2 threads",
        Clock::Processor => "1 thread, CPU",
    };
    let ratio = |bare: &[f64], ours: &[f64]| bare.iter().zip(ours).map(|(bare, ours)| bare / ours).collect();
    let mut rows = Vec::new();
    for (what, bare, ours) in [
        ("question and answer", &bare.ask, &ours.ask),
        ("message in a burst", &bare.tell, &ours.tell),
    ] {
        rows.push(Row::new(format!("{what}, {on}: bare ractor"), "ns", bare.clone()));
        rows.push(Row::new(format!("{what}, {on}: ours"), "ns", ours.clone()));
        let rate = Row::new(format!("{what}, {on}: our rate of its"), "x", ratio(bare, ours));
        rows.push(rate.target(Target::AtLeast(OF_BARE)));
    }
    rows
}

#[derive(Clone, Copy)]
enum Clock {
    Wall,
    /// Of the thread that runs everything; there must be only one.
    Processor,
}

/// Returns how many nanoseconds something takes.
async fn timed(clock: Clock, work: impl Future<Output = ()>) -> f64 {
    match clock {
        Clock::Wall => {
            let started_at = Instant::now();
            work.await;
            started_at.elapsed().as_secs_f64() * 1e9
        }
        Clock::Processor => {
            let before = processor_ns();
            work.await;
            processor_ns() - before
        }
    }
}

/// What this thread has run so far.
fn processor_ns() -> f64 {
    // The kernel brings its account up to date when a thread offers to make room.
    std::thread::yield_now();
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    let run = account.split_whitespace().next().expect("it has three numbers");
    run.parse().expect("they are numbers")
}
