//! How a program ends, by itself and when it is made to, and that nothing of its group is left.

use hiveforge_executor::Identity;
use rustix::process::Pid;

use super::*;

fn group(execution: &dyn Execution) -> Pid {
    let Identity::Process(identity) = execution.identity();
    Pid::from_raw(identity.pid).unwrap()
}

/// Members of a group that were killed may need a moment until they are reaped by init.
fn vanishes(group: Pid) -> bool {
    let members = hiveforge_executor::Process::all().unwrap();
    let group = group.as_raw_nonzero().get();
    members
        .iter()
        .filter(|process| process.group == group)
        .all(|process| dies(process.pid))
}

#[tokio::test]
async fn exit_codes_are_reported() {
    for code in [0, 1, 42, 255] {
        let finished = run(shell(&format!("exit {code}"))).await;
        assert_eq!((finished.end.status, finished.end.output), exited(code));
    }
}

#[tokio::test]
async fn a_signal_is_reported() {
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGSEGV] {
        let finished = run(shell(&format!("kill -{signal} $$"))).await;
        assert_eq!((finished.end.status, finished.end.output), signaled(signal));
    }
}

#[tokio::test]
async fn the_end_stays_and_the_pid_is_free() {
    let execution = start(command(&["true"])).await;
    let end = finish(&*execution).await.end;
    assert_eq!(
        (execution.ready().await, execution.end()),
        (Ready::Ended, Some(end))
    );
    assert!(
        hiveforge_executor::Process::find(group(&*execution)).is_none(),
        "it is reaped"
    );
    for signal in [
        Execution::terminate,
        Execution::kill,
        Execution::freeze,
        Execution::thaw,
    ] {
        signal(&*execution);
    }
    assert_eq!(execution.end(), Some(end));
}

#[tokio::test]
async fn usage_counts_the_children_that_were_waited_for() {
    let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let end = run(shell(&format!("sh -c '{spin}'; true"))).await.end;
    assert!(end.usage.user > Duration::from_millis(20), "{:?}", end.usage);
    let hungry = "dd if=/dev/zero of=/dev/null bs=300M count=1 status=none";
    let end = run(shell(hungry)).await.end;
    assert!(end.usage.max_rss_bytes.unwrap() > 290 << 20, "{:?}", end.usage);
}

#[tokio::test]
async fn the_memory_of_the_agent_is_not_reported_as_the_jobs() {
    let ballast = std::hint::black_box(vec![1u8; 100 << 20]);
    assert_eq!(run(command(&["true"])).await.end.usage.max_rss_bytes, None);
    drop(ballast);
}

#[tokio::test]
async fn the_end_of_the_main_process_is_the_end_of_its_group() {
    let execution = start(shell("sleep 1000 & sleep 1000 & exit 3")).await;
    let group = group(&*execution);
    let finished = finish(&*execution).await;
    assert_eq!((finished.end.status, finished.end.output), exited(3));
    assert!(vanishes(group));
}

#[tokio::test]
async fn a_program_that_obeys_ends_by_sigterm() {
    let execution = start(shell(
        "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.01; done",
    ))
    .await;
    assert_eq!(first_line(&*execution).await, "up");
    execution.terminate();
    let finished = finish(&*execution).await;
    assert_eq!(
        (finished.stdout(), finished.end.status),
        ("bye\n", ExitStatus::Exited(5))
    );
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed_with_its_whole_group() {
    let stubborn = "trap '' TERM; sh -c \"trap '' TERM; sleep 1000\" & echo up; while :; do sleep 1000; done";
    let execution = start(shell(stubborn)).await;
    let group = group(&*execution);
    assert_eq!(first_line(&*execution).await, "up");
    execution.terminate();
    let patience = Duration::from_millis(50);
    assert!(
        tokio::time::timeout(patience, execution.ready()).await.is_err(),
        "it goes on"
    );
    execution.kill();
    let finished = finish(&*execution).await;
    assert_eq!(
        (finished.end.status, finished.end.output),
        signaled(libc::SIGKILL)
    );
    assert!(vanishes(group));
}

#[tokio::test]
async fn a_frozen_program_stands_still_until_it_is_thawed() {
    let execution = start(shell("while :; do echo tick; sleep 0.005; done")).await;
    first_line(&*execution).await;
    execution.freeze();
    let silence = Duration::from_millis(100);
    let mut late = 0;
    while tokio::time::timeout(silence, execution.ready()).await.is_ok() {
        late += execution.drain(&mut |_, _| Ok(()), usize::MAX).unwrap().bytes;
        assert!(late < 200, "it goes on");
    }
    execution.thaw();
    assert!(first_line(&*execution).await.starts_with("tick"));
    execution.kill();
    finish(&*execution).await;
}

#[tokio::test]
async fn a_frozen_program_can_be_killed_and_terminated() {
    let execution = start(command(&["sleep", "1000"])).await;
    execution.freeze();
    execution.kill();
    assert_eq!(
        finish(&*execution).await.end.status,
        ExitStatus::Signaled(libc::SIGKILL)
    );

    let execution = start(command(&["sleep", "1000"])).await;
    execution.freeze();
    execution.terminate();
    assert_eq!(
        finish(&*execution).await.end.status,
        ExitStatus::Signaled(libc::SIGTERM)
    );
}

#[tokio::test]
async fn dropping_an_execution_kills_it_and_the_next_spawn_reaps_it() {
    let executor = executor();
    let execution = executor
        .start(shell("sleep 1000 & exec sleep 1000"))
        .await
        .unwrap();
    let leader = group(&*execution);
    drop(execution);
    assert!(vanishes(leader));
    finish(&*executor.start(command(&["true"])).await.unwrap()).await;
    assert!(hiveforge_executor::Process::find(leader).is_none());
}

#[tokio::test]
async fn a_start_that_is_abandoned_leaves_nothing_running() {
    let executor = executor();
    let marker = "9471.25";
    for _ in 0..20 {
        tokio::select! {
            biased;
            _ = executor.start(command(&["sleep", marker])) => {}
            () = std::future::ready(()) => {}
        }
    }
    // The requests are served in order, so all of the abandoned ones were before this one.
    finish(&*executor.start(command(&["true"])).await.unwrap()).await;
    let left = hiveforge_executor::Process::all()
        .unwrap()
        .into_iter()
        .filter(|process| {
            std::fs::read(format!("/proc/{}/cmdline", process.pid))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker) && !process.zombie)
        });
    assert!(left.into_iter().all(|process| dies(process.pid)));
}

#[tokio::test]
async fn many_jobs_at_once_all_end() {
    let executor = ProcessExecutor::new(Spawner::new(2).unwrap()).unwrap();
    let mut executions = Vec::new();
    for number in 0..100 {
        executions.push(
            executor
                .start(shell(&format!("echo {number}; exit {number}")))
                .await
                .unwrap(),
        );
    }
    for (number, execution) in executions.iter().enumerate() {
        let finished = finish(&**execution).await;
        assert_eq!(finished.stdout(), format!("{number}\n"));
        assert_eq!(
            finished.end.status,
            ExitStatus::Exited(i32::try_from(number).unwrap())
        );
    }
}
