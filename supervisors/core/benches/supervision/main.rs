//! What supervision costs: messages, restarts, memory and the observer's reading, beside bare `ractor`.
//!
//! The one idea: what is compared takes turns, round by round in one run, so that a noisy machine is noisy to both, and
//! ratios are taken within a round. One file for each section; `docs/performance.md` says how to read the table.
//! Run with `cargo bench -p hiveforge-supervisors-core --bench supervision`; `-- messages` measures this section alone,
//! `-- --quick` shows that it works, with figures that mean nothing.

mod counter;
mod idle;
mod memory;
mod messages;
mod observer;
mod report;
mod restarts;

use std::future::Future;
use std::time::Duration;

use supervision::{ChildSpec, Intensity, Strategy, Tree, TreeSpec};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::report::Section;

/// Nothing here waits longer for anything.
const LIMIT: Duration = Duration::from_secs(10);
/// More failures than any section makes in that time.
const INTENSITY: Intensity = Intensity {
    max: 10_000,
    within: Duration::from_millis(1),
};
/// As the programs run on the machine that the targets are meant for.
const THREADS: usize = 2;

/// How much is measured.
#[derive(Clone, Copy)]
struct Scale {
    rounds: usize,
    /// Rounds of messages: more, since threads that meet or miss each other make one fast or slow.
    message_rounds: usize,
    /// Questions of one such round, one after the other.
    asks: usize,
    /// Bursts of messages in one such round.
    bursts: usize,
    /// Restarts of one kind in one round.
    restarts: usize,
    /// How many idle actors are weighed, in processes of their own.
    weighed: [usize; 2],
    weighings: usize,
    /// How many idle actors the observer reads.
    observed: usize,
    /// How long messages flow in one round, with and without readings.
    flow: Duration,
}

const FULL: Scale = Scale {
    rounds: 9,
    message_rounds: 21,
    asks: 20_000,
    bursts: 60,
    restarts: 400,
    weighed: [10_000, 50_000],
    weighings: 3,
    observed: 10_000,
    flow: Duration::from_secs(1),
};
const QUICK: Scale = Scale {
    rounds: 1,
    message_rounds: 1,
    asks: 100,
    bursts: 2,
    restarts: 10,
    weighed: [100, 200],
    weighings: 1,
    observed: 100,
    flow: Duration::from_millis(10),
};

type Measure = fn(Scale) -> Section;

/// In the order in which they are measured. Arguments that name some choose them.
const SECTIONS: [(&str, Measure); 4] = [
    ("messages", messages::measure),
    ("restarts", restarts::measure),
    ("memory", memory::measure),
    ("observer", observer::measure),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(weighing) = memory::Weighing::of(&arguments) {
        return println!("{}", weighing.run());
    }
    let named = |word: &str| arguments.iter().any(|argument| argument == word);
    let scale = if named("--quick") { QUICK } else { FULL };
    let all = !SECTIONS.iter().any(|(name, _)| named(name));
    report::head();
    for (name, measure) in SECTIONS {
        if all || named(name) {
            report::print(name, &measure(scale));
        }
    }
}

/// Runs `work` as a task on so many threads, so that it is a peer of the actors and not a thread of its own.
fn on_threads<T: Send + 'static>(threads: usize, work: impl Future<Output = T> + Send + 'static) -> T {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(threads).enable_time().build();
    runtime.expect("threads can be had").block_on(async {
        let mut tasks = JoinSet::new();
        tasks.spawn(work);
        let done = tasks.join_next().await.expect("one task was begun");
        done.expect("a benchmark does not panic")
    })
}

/// Starts a tree of these children.
async fn tree_of(children: impl IntoIterator<Item = ChildSpec>) -> Tree {
    let empty = TreeSpec::new(Strategy::OneForOne, INTENSITY);
    let spec = children.into_iter().fold(empty, TreeSpec::child);
    Tree::start("bench", spec).await.expect("nothing in it can fail")
}
