//! The fake keeps the promises of an execution.

use std::io::Write as _;

use super::*;
use crate::launch::Limits;

fn launch() -> Launch {
    Launch {
        argv: vec!["x".to_owned()],
        env: Vec::new(),
        workdir: "/w".into(),
        limits: Limits::default(),
    }
}

async fn start(script: Script) -> (FakeExecutor, Arc<dyn Execution>) {
    let executor = FakeExecutor::new(move |_| Ok(script.clone()));
    let execution = executor.start(launch()).await.unwrap();
    (executor, execution)
}

fn script(steps: &[Step]) -> Script {
    Script {
        steps: steps.to_vec(),
        ignores_terminate: false,
    }
}

fn write(text: &str) -> Step {
    Step::Write(Stream::Stdout, text.as_bytes().to_vec())
}

const EXIT: Step = Step::Exit(ExitStatus::Exited(0));
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_script_is_followed_in_its_own_time() {
    let start_at = Instant::now();
    let (_, execution) = start(script(&[
        Step::Wait(MINUTE),
        write("one"),
        Step::Wait(MINUTE),
        EXIT,
    ]))
    .await;
    assert_eq!(execution.ready().await, Ready::Output);
    assert_eq!(start_at.elapsed(), MINUTE);
    let mut seen = Vec::new();
    let drained = execution.drain(&mut |_, bytes| seen.write_all(bytes), 2).unwrap();
    assert_eq!(drained, Drained { bytes: 2, more: true });
    let drained = execution.drain(&mut |_, bytes| seen.write_all(bytes), 9).unwrap();
    assert_eq!(
        (drained, seen.as_slice()),
        (
            Drained {
                bytes: 1,
                more: false
            },
            &b"one"[..]
        )
    );
    assert_eq!(
        (execution.ready().await, start_at.elapsed()),
        (Ready::Ended, MINUTE * 2)
    );
    assert_eq!(execution.end().map(|end| end.status), Some(ExitStatus::Exited(0)));
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_after_the_last_output() {
    let (_, execution) = start(script(&[write("x"), EXIT])).await;
    assert_eq!((execution.ready().await, execution.end()), (Ready::Output, None));
    execution
        .drain(&mut |_, _| Err(io::ErrorKind::StorageFull.into()), 9)
        .unwrap_err();
    assert_eq!((execution.ready().await, execution.end()), (Ready::Output, None));
    execution.drain(&mut |_, _| Ok(()), 9).unwrap();
    assert_eq!(execution.ready().await, Ready::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_script_stands_still() {
    let start_at = Instant::now();
    let (executor, execution) = start(script(&[Step::Wait(MINUTE), EXIT])).await;
    execution.freeze();
    assert!(tokio::time::timeout(MINUTE * 5, execution.ready()).await.is_err());
    execution.thaw();
    assert_eq!(
        (execution.ready().await, start_at.elapsed()),
        (Ready::Ended, MINUTE * 6)
    );
    assert_eq!(executor.asked()[1..], [Asked::Freeze(1), Asked::Thaw(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_a_script_that_is_waited_for() {
    let (_, execution) = start(script(&[])).await;
    let (ready, ()) = tokio::join!(execution.ready(), async { execution.terminate() });
    assert_eq!(ready, Ready::Ended);
    assert_eq!(
        execution.end().map(|end| end.status),
        Some(ExitStatus::Signaled(libc::SIGTERM))
    );
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_script_ends_by_the_kill() {
    let (_, execution) = start(Script {
        steps: Vec::new(),
        ignores_terminate: true,
    })
    .await;
    execution.terminate();
    assert_eq!(execution.end(), None);
    execution.kill();
    assert_eq!(execution.ready().await, Ready::Ended);
    assert_eq!(
        execution.end().map(|end| end.status),
        Some(ExitStatus::Signaled(libc::SIGKILL))
    );
}
