//! The `process` executor with real processes.
//!
//! `launching` is about what a program finds when it starts, `output` about what it writes, `ending` about how
//! it ends, `crash` about an agent that is killed, `tracing` about how processes are made.
#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod crash;
mod ending;
mod launching;
mod output;
#[path = "../support/process_calls.rs"]
mod process_calls;
mod tracing;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hiveforge_executor::{
    End, Execution, Executor as _, ExitStatus, Launch, LaunchError, Limits, OutputEnd, ProcessExecutor,
    Ready, Spawner, Stream,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Far beyond what any step of these tests takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// One finished execution.
#[derive(Debug)]
struct Finished {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    end: End,
}

impl Finished {
    fn stdout(&self) -> &str {
        str::from_utf8(&self.stdout).unwrap()
    }

    fn stderr(&self) -> &str {
        str::from_utf8(&self.stderr).unwrap()
    }
}

fn executor() -> ProcessExecutor {
    ProcessExecutor::new(Spawner::new(1).unwrap()).unwrap()
}

/// A command with nothing but a `PATH`, in `/`.
fn command(argv: &[&str]) -> Launch {
    Launch {
        argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
        env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        workdir: "/".into(),
        limits: Limits::default(),
    }
}

fn shell(script: &str) -> Launch {
    command(&["sh", "-c", script])
}

async fn start(launch: Launch) -> Arc<dyn Execution> {
    executor().start(launch).await.unwrap()
}

async fn refused(launch: Launch) -> LaunchError {
    match executor().start(launch).await {
        Ok(_) => panic!("it was started"),
        Err(error) => error,
    }
}

async fn run(launch: Launch) -> Finished {
    finish(&*start(launch).await).await
}

async fn finish(execution: &dyn Execution) -> Finished {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let all = async {
        while execution.ready().await == Ready::Output {
            let mut sink = |stream, bytes: &[u8]| {
                match stream {
                    Stream::Stdout => stdout.extend_from_slice(bytes),
                    Stream::Stderr => stderr.extend_from_slice(bytes),
                }
                Ok(())
            };
            execution.drain(&mut sink, usize::MAX).unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, all).await.expect("it ends");
    Finished {
        stdout,
        stderr,
        end: execution.end().unwrap(),
    }
}

/// Waits for the first output and returns all that is there.
async fn first_line(execution: &dyn Execution) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        assert_eq!(
            tokio::time::timeout(DEADLINE, execution.ready()).await,
            Ok(Ready::Output)
        );
        execution.drain(&mut into(&mut line), usize::MAX).unwrap();
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// Takes all, whatever the stream.
fn into(seen: &mut Vec<u8>) -> impl FnMut(Stream, &[u8]) -> io::Result<()> {
    |_, bytes| {
        seen.extend_from_slice(bytes);
        Ok(())
    }
}

/// Whether the process is dead before the deadline.
fn dies(pid: i32) -> bool {
    let Ok(pidfd) = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()) else {
        return true;
    };
    let deadline = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&deadline)).unwrap() == 1
}

fn exited(code: i32) -> (ExitStatus, OutputEnd) {
    (ExitStatus::Exited(code), OutputEnd::Complete)
}

fn signaled(signal: i32) -> (ExitStatus, OutputEnd) {
    (ExitStatus::Signaled(signal), OutputEnd::Complete)
}
