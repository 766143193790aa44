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

type Way<'a> = (&'static str, &'a (dyn Fn() + Sync), Vec<Duration>);

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

/// The mean time of one command in a round.
fn round(way: &(dyn Fn() + Sync), threads: u32) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(way);
        }
    });
    start.elapsed() / (BATCH * threads)
}

fn report(threads: u32, ways: &mut [Way<'_>]) {
    println!("{threads} thread(s)              min us   median us   ratio of minima   of medians");
    let mut floor = None;
    for (name, _, times) in ways {
        times.sort();
        let (min, median) = (
            times[0].as_secs_f64() * 1e6,
            times[times.len() / 2].as_secs_f64() * 1e6,
        );
        let (floor_min, floor_median) = *floor.get_or_insert((min, median));
        println!(
            "  {name:<20} {min:>9.0} {median:>11.0} {:>17.2} {:>12.2}",
            min / floor_min,
            median / floor_median
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "the floor to compare with")]
fn posix_spawn() {
    for _ in 0..BATCH {
        let mut child = process::Command::new("/bin/true").spawn().expect("/bin/true");
        assert!(child.wait().expect("its status").success());
    }
}

#[expect(clippy::disallowed_methods, reason = "the floor to compare with")]
fn posix_spawn_with_directory() {
    for _ in 0..BATCH {
        let mut command = process::Command::new("/bin/true");
        let mut child = command
            .current_dir("/")
            .env_clear()
            .process_group(0)
            .spawn()
            .expect("/bin/true");
        assert!(child.wait().expect("its status").success());
    }
}

struct Bench {
    runtime: Runtime,
    spawner: Spawner,
    executor: Arc<ProcessExecutor>,
    null: File,
}

impl Bench {
    fn spawner(&self) {
        for _ in 0..BATCH {
            let sink = || self.null.try_clone().expect("a descriptor").into();
            let command = Command {
                launch: launch(),
                stdout: sink(),
                stderr: sink(),
            };
            let child = self.spawner.spawn_blocking(command).expect("/bin/true");
            poll(&mut [PollFd::new(&child, PollFlags::IN)], None).expect("its end");
            assert!(child.end().is_some());
        }
    }

    /// On a thread of the runtime, as an actor does.
    #[expect(clippy::disallowed_methods, reason = "an example has no supervision tree")]
    fn executor(&self) {
        let executor = Arc::clone(&self.executor);
        let batch = async move {
            for _ in 0..BATCH {
                run(executor.start(launch()).await.expect("/bin/true")).await;
            }
        };
        self.runtime
            .block_on(async { tokio::spawn(batch).await.expect("no panic") });
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
