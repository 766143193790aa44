//! How processes are made, as the kernel sees it.

use std::{env, fs};

use tempfile::TempDir;

use super::process_calls::{ProcessCalls, STRACE};
use super::*;

const PART: &str = "EXECUTOR_TEST_TRACED";
const JOBS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the traced part of another test"]
async fn traced() {
    if env::var(PART).is_err() {
        return;
    }
    let executor = ProcessExecutor::new(Spawner::new(2).unwrap()).unwrap();
    let dir = TempDir::new().unwrap();
    for _ in 0..JOBS {
        // What makes std fork: a bare name with a PATH of its own, and a directory.
        let launch = Launch {
            workdir: dir.path().into(),
            ..command(&["true"])
        };
        finish(&*executor.start(launch).await.unwrap()).await;
    }
}

#[tokio::test]
async fn no_process_is_made_by_a_fork() {
    let dir = TempDir::new().unwrap();
    let (trace, exe) = (dir.path().join("trace"), env::current_exe().unwrap());
    let program = [trace.to_str().unwrap(), exe.to_str().unwrap()];
    let arguments = ["--exact", "tracing::traced", "--ignored"];
    let mut launch = command(&[&STRACE[..], &program, &arguments].concat());
    launch.env.push((PART.to_owned(), "1".to_owned()));
    match executor().start(launch).await {
        Ok(execution) => {
            let finished = finish(&*execution).await;
            assert_eq!(
                finished.end.status,
                ExitStatus::Exited(0),
                "{}",
                finished.stderr()
            );
        }
        Err(error) if env::var("CI").is_ok_and(|value| value == "true") => panic!("strace: {error}"),
        Err(error) => return eprintln!("skipped, for strace is not installed here: {error}"),
    }
    let calls = ProcessCalls::parse(&fs::read_to_string(trace).unwrap());
    assert_eq!(
        calls,
        ProcessCalls {
            sharing: JOBS,
            copying: Vec::new()
        }
    );
}

#[test]
fn a_fork_of_any_thread_is_found_and_one_of_a_job_is_not() {
    let trace = "\
10 clone3({flags=CLONE_VM|CLONE_FS|CLONE_THREAD, child_tid=0x1} <unfinished ...>
11 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x1) = 12
10 <... clone3 resumed> => {parent_tid=[11]}, 88) = 11
10 clone(child_stack=0x2, flags=CLONE_VM|CLONE_PIDFD|CLONE_VFORK|SIGCHLD <unfinished ...>
13 fork() = 14
10 <... clone resumed>, parent_tid=[3]) = 13
10 vfork() = 15
10 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=15, si_uid=0, si_status=0} ---
11 +++ exited with 0 +++
10 ???( <detached ...>
";
    let fork = "clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x1) = 12";
    assert_eq!(
        ProcessCalls::parse(trace),
        ProcessCalls {
            sharing: 2,
            copying: vec![fork.to_owned()]
        }
    );
}
