//! An agent that is killed, and its successor.
//!
//! The agent is this test binary once more, told by a variable to play the part.

use std::path::Path;
use std::{env, fs};

use hiveforge_executor::{Identity, Process, ProcessIdentity};
use tempfile::TempDir;

use super::*;

const PART: &str = "EXECUTOR_TEST_AGENT_DIR";

/// Starts a job with a child of its own, leaves the identity of the job and the child's pid, and waits.
#[tokio::test]
#[ignore = "the part of the agent in another test"]
async fn agent() {
    let Ok(dir) = env::var(PART) else { return };
    let env = vec![
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ("HOME".to_owned(), dir.clone()),
    ];
    let launch = Launch {
        env,
        workdir: dir.clone().into(),
        ..shell("sleep 1000 & echo $!; exec sleep 1000")
    };
    let execution = start(launch).await;
    let child = first_line(&*execution).await;
    let notes = serde_json::to_string(&(execution.identity(), child.parse::<i32>().unwrap())).unwrap();
    fs::write(Path::new(&dir).join("notes"), notes).unwrap();
    println!("\nready");
    finish(&*execution).await;
}

/// Runs an agent until its job runs, kills it, and returns what it has left behind.
async fn killed_agent(dir: &TempDir) -> (ProcessIdentity, i32) {
    let exe = env::current_exe().unwrap();
    let mut launch = command(&[
        exe.to_str().unwrap(),
        "--exact",
        "crash::agent",
        "--ignored",
        "--nocapture",
    ]);
    launch
        .env
        .push((PART.to_owned(), dir.path().to_str().unwrap().to_owned()));
    let agent = start(launch).await;
    while !first_line(&*agent).await.contains("ready") {}
    agent.kill();
    assert_eq!(
        finish(&*agent).await.end.status,
        ExitStatus::Signaled(libc::SIGKILL)
    );
    let notes = fs::read_to_string(dir.path().join("notes")).unwrap();
    let (Identity::Process(identity), child) = serde_json::from_str(&notes).unwrap();
    (identity, child)
}

fn lives(pid: i32) -> bool {
    Process::find(Pid::from_raw(pid).unwrap()).is_some_and(|process| !process.zombie)
}

#[tokio::test]
async fn a_killed_agent_takes_its_jobs_along_and_its_successor_the_rest() {
    let dir = TempDir::new().unwrap();
    let (identity, child) = killed_agent(&dir).await;
    assert!(dies(identity.pid), "the kernel kills the main process");
    assert!(lives(child), "a child of the job is left to the successor");

    let clean_up = async |identity: ProcessIdentity| {
        executor()
            .clean_up(&Identity::Process(identity))
            .await
            .unwrap()
            .killed
    };
    let other_boot = ProcessIdentity {
        boot_id: "another".to_owned(),
        ..identity.clone()
    };
    assert_eq!(clean_up(other_boot).await, 0);
    let later = ProcessIdentity {
        start_time: identity.start_time + 1_000_000,
        ..identity.clone()
    };
    assert_eq!(clean_up(later).await, 0);
    assert!(lives(child));

    assert_eq!(clean_up(identity.clone()).await, 1);
    assert!(!lives(child));
    assert_eq!(clean_up(identity).await, 0);
}

#[tokio::test]
async fn a_clean_up_ends_a_living_job_only_by_its_whole_identity() {
    let execution = start(shell("sleep 1000 & echo up; exec sleep 1000")).await;
    first_line(&*execution).await;
    let Identity::Process(identity) = execution.identity();
    let other = ProcessIdentity {
        start_time: identity.start_time + 1,
        ..identity.clone()
    };
    let killed = executor()
        .clean_up(&Identity::Process(other))
        .await
        .unwrap()
        .killed;
    assert!(killed == 0 && lives(identity.pid));
    let killed = executor()
        .clean_up(&Identity::Process(identity))
        .await
        .unwrap()
        .killed;
    assert_eq!(killed, 2);
    assert_eq!(
        finish(&*execution).await.end.status,
        ExitStatus::Signaled(libc::SIGKILL)
    );
}
