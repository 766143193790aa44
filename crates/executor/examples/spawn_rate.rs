//! The cost of one `/bin/true`, from nothing to its reaped end, in several ways.
//!
//! The floor is `posix_spawn` (which is what std uses for a command this plain) and `wait` on one thread. The
//! rounds of all ways are interleaved, so that a noisy machine is noisy to all of them; minima and ratios are
//! the figures to trust. Usage: `spawn_rate [ROUNDS [MEBIBYTES]]`, where the second makes the process that
//! large first.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, hint, process, thread};

use hiveforge_executor::{
    Command, Execution, Executor as _, Launch, Limits, ProcessExecutor, Ready, Spawner,
};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::runtime::{Builder, Runtime};

/// Commands of one round, one after the other on each thread.
const BATCH: u32 = 20;

/// Runs one batch and returns the time of its fastest command.
type Way<'a> = (&'static str, &'a (dyn Fn() -> Duration + Sync), Vec<Round>);

/// What one round took.
struct Round {
    /// The mean time of a command, by the wall clock: the inverse of the rate of all threads together.
    mean: Duration,
    /// The time of the fastest command.
    best: Duration,
}

fn main() {
    let mut numbers = env::args()
        .skip(1)
        .map(|argument| argument.parse().expect("a number"));
    let rounds = numbers.next().unwrap_or(30);
    let ballast = vec![1u8; numbers.next().unwrap_or(0) << 20];
    let spawner = Spawner::new(2).expect("spawner threads");
    let bench = Bench {
        runtime: Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime"),
        executor: Arc::new(ProcessExecutor::new(spawner.clone()).expect("an executor")),
        spawner,
        null: File::create("/dev/null").expect("/dev/null"),
    };
    for threads in [1, 2] {
        let mut ways: [Way<'_>; 4] = [
            ("posix_spawn", &posix_spawn, Vec::new()),
            ("posix_spawn + cwd", &posix_spawn_with_directory, Vec::new()),
            ("spawner", &|| bench.spawner(), Vec::new()),
            ("process executor", &|| bench.executor(), Vec::new()),
        ];
        for _ in 0..rounds {
            for (_, way, times) in &mut ways {
                times.push(round(*way, threads));
            }
        }
        report(threads, &mut ways);
    }
    hint::black_box(ballast);
}

fn round(way: &(dyn Fn() -> Duration + Sync), threads: u32) -> Round {
    let start = Instant::now();
    let best = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(way)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).min()
    });
    Round {
        mean: start.elapsed() / (BATCH * threads),
        best: best.expect("a thread"),
    }
}

fn fastest(mut command: impl FnMut()) -> Duration {
    let times = (0..BATCH).map(|_| {
        let start = Instant::now();
        command();
        start.elapsed()
    });
    times.min().expect("a batch is not empty")
}

fn report(threads: u32, ways: &mut [Way<'_>]) {
    println!(
        "{threads} thread(s), us        best      min   median   ratio of best   of minima   of medians"
    );
    let mut floor = None;
    for (name, _, rounds) in ways {
        rounds.sort_by_key(|round| round.mean);
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        let best = rounds
            .iter()
            .map(|round| round.best)
            .min()
            .expect("at least one round");
        let found = [best, rounds[0].mean, rounds[rounds.len() / 2].mean].map(micros);
        let floor = *floor.get_or_insert(found);
        let [best, min, median] = found;
        let [ratio_best, ratio_min, ratio_median] = [0, 1, 2].map(|index| found[index] / floor[index]);
        println!(
            "  {name:<18} {best:>8.0} {min:>8.0} {median:>8.0} {ratio_best:>15.2} {ratio_min:>11.2} {ratio_median:>12.2}"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "the floor to compare with")]
fn posix_spawn() -> Duration {
    fastest(|| {
        let mut child = process::Command::new("/bin/true").spawn().expect("/bin/true");
        assert!(child.wait().expect("its status").success());
    })
}

#[expect(clippy::disallowed_methods, reason = "the floor to compare with")]
fn posix_spawn_with_directory() -> Duration {
    fastest(|| {
        let mut command = process::Command::new("/bin/true");
        let mut child = command
            .current_dir("/")
            .env_clear()
            .process_group(0)
            .spawn()
            .expect("/bin/true");
        assert!(child.wait().expect("its status").success());
    })
}

struct Bench {
    runtime: Runtime,
    spawner: Spawner,
    executor: Arc<ProcessExecutor>,
    null: File,
}

impl Bench {
    fn spawner(&self) -> Duration {
        fastest(|| {
            let sink = || self.null.try_clone().expect("a descriptor").into();
            let command = Command {
                launch: launch(),
                stdout: sink(),
                stderr: sink(),
            };
            let child = self.spawner.spawn_blocking(command).expect("/bin/true");
            poll(&mut [PollFd::new(&child, PollFlags::IN)], None).expect("its end");
            assert!(child.end().is_some());
        })
    }

    /// On a thread of the runtime, as an actor does.
    #[expect(clippy::disallowed_methods, reason = "an example has no supervision tree")]
    fn executor(&self) -> Duration {
        let executor = Arc::clone(&self.executor);
        let batch = async move {
            let mut best = Duration::MAX;
            for _ in 0..BATCH {
                let start = Instant::now();
                run(executor.start(launch()).await.expect("/bin/true")).await;
                best = best.min(start.elapsed());
            }
            best
        };
        self.runtime
            .block_on(async { tokio::spawn(batch).await.expect("no panic") })
    }
}

async fn run(execution: Arc<dyn Execution>) {
    while execution.ready().await == Ready::Output {
        execution
            .drain(&mut |_, _| Ok(()), usize::MAX)
            .expect("a sink that takes all");
    }
    assert!(execution.end().is_some());
}

fn launch() -> Launch {
    Launch {
        argv: vec!["/bin/true".to_owned()],
        env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        workdir: "/".into(),
        limits: Limits::default(),
    }
}
