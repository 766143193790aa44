//! What to compare with: a tight loop over `posix_spawn` with two threads, and `xargs`.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::spawn;
use crate::system::SLOTS;
use crate::usage::Cpu;

/// The command of every job.
pub(crate) const TRUE: &std::ffi::CStr = c"/bin/true";

/// How long a number of commands took, and their processor time with everything that started them.
pub(crate) struct Took {
    /// By the wall clock.
    pub(crate) wall: Duration,
    /// On all processors.
    pub(crate) cpu: Duration,
}

/// Runs commands in a tight loop on as many threads as the agent has slots.
pub(crate) fn tight_loop(jobs: usize) -> anyhow::Result<Took> {
    timed(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..SLOTS)
                .map(|_| scope.spawn(|| (0..jobs / SLOTS).try_for_each(|_| spawn::run(TRUE))))
                .collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().expect("no thread panics"))
        })?;
        Ok(())
    })
}

/// Runs commands with `xargs`, one process for each.
pub(crate) fn xargs(jobs: usize) -> anyhow::Result<Took> {
    timed(|| {
        #[expect(clippy::disallowed_methods, reason = "a program to compare with, not a job")]
        let mut xargs = Command::new("xargs");
        let mut xargs = xargs
            .args([&format!("-P{SLOTS}"), "-n1", "/bin/true"])
            .stdin(Stdio::piped())
            .spawn()
            .context("xargs")?;
        // It reads as it goes, so the pipe paces this thread.
        let mut input = xargs.stdin.take().context("the input of xargs")?;
        input.write_all("x\n".repeat(jobs).as_bytes())?;
        drop(input);
        ensure!(xargs.wait()?.success(), "xargs failed");
        Ok(())
    })
}

/// The commands are children of this process, and so is `xargs` with all of its own.
fn timed(run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Took> {
    let (before, started_at) = (Cpu::of_this_process()?, Instant::now());
    run()?;
    let wall = started_at.elapsed();
    let used = Cpu::of_this_process()?.since(before);
    Ok(Took {
        wall,
        cpu: used.own + used.children,
    })
}
