//! What a program writes arrives, all of it and unchanged, whoever reads it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hiveforge_executor::{DRAIN_LIMIT, Identity};
use rustix::process::Signal;

use super::*;

fn numbers(from: u32, to: u32) -> Vec<u8> {
    (from..=to)
        .flat_map(|number| format!("{number}\n").into_bytes())
        .collect()
}

#[tokio::test]
async fn both_streams_arrive_byte_for_byte() {
    let finished = run(shell(r"printf 'a\000b\377'; printf 'oops\r\nno newline' >&2")).await;
    assert_eq!(finished.stdout, b"a\0b\xff");
    assert_eq!(finished.stderr, b"oops\r\nno newline");
    assert_eq!((finished.end.status, finished.end.output), exited(0));
}

#[tokio::test]
async fn ten_megabytes_arrive_complete() {
    let finished = run(shell("seq 1 1400000; seq 1 200000 >&2")).await;
    assert!(finished.stdout.len() > 10_000_000);
    assert!(finished.stdout == numbers(1, 1_400_000) && finished.stderr == numbers(1, 200_000));
}

#[tokio::test]
async fn a_drain_takes_no_more_than_asked() {
    let execution = start(shell("seq 1 20000; exec sleep 1000")).await;
    let mut seen = Vec::new();
    let expected = numbers(1, 20_000);
    while seen.len() < expected.len() {
        assert_eq!(execution.ready().await, Ready::Output);
        let drained = execution.drain(&mut into(&mut seen), 1000).unwrap();
        assert!(
            drained.bytes <= 1000 && drained.more == (drained.bytes == 1000),
            "{drained:?}"
        );
    }
    assert!(seen == expected);
    execution.kill();
    finish(&*execution).await;
}

#[tokio::test]
async fn a_reader_that_gives_up_waiting_loses_nothing() {
    let execution = start(shell("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.02; done")).await;
    let mut seen = Vec::new();
    loop {
        let pause = Duration::from_millis(3);
        match tokio::time::timeout(pause, execution.ready()).await {
            Err(_) => {}
            Ok(Ready::Ended) => break,
            Ok(Ready::Output) => {
                execution.drain(&mut into(&mut seen), usize::MAX).unwrap();
            }
        }
    }
    assert_eq!(seen, numbers(1, 8));
    assert_eq!(execution.ready().await, Ready::Ended);
}

#[tokio::test]
async fn a_piece_that_the_sink_refuses_or_panics_at_comes_again() {
    let execution = start(shell("printf precious")).await;
    assert_eq!(execution.ready().await, Ready::Output);
    let full = execution.drain(&mut |_, _| Err(io::ErrorKind::StorageFull.into()), 100);
    assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(execution.ready().await, Ready::Output);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        drop(execution.drain(&mut |_, _| panic!("a bug in the spool"), 100));
    }));
    assert!(panicked.is_err());
    assert_eq!(execution.ready().await, Ready::Output);
    assert_eq!(finish(&*execution).await.stdout(), "precious");
}

#[tokio::test]
async fn there_is_no_end_before_the_last_byte_was_taken() {
    let execution = start(shell("printf last")).await;
    let mut waits = 0;
    while execution
        .drain(&mut |_, _| Err(io::ErrorKind::StorageFull.into()), 100)
        .is_ok()
    {
        assert_eq!(execution.ready().await, Ready::Output);
        waits += 1;
        assert!(waits < 10);
    }
    let Identity::Process(identity) = execution.identity();
    assert!(dies(identity.pid));
    for _ in 0..3 {
        assert_eq!((execution.ready().await, execution.end()), (Ready::Output, None));
    }
    assert_eq!(finish(&*execution).await.stdout(), "last");
}

/// Under the paused clock the drain limit passes as soon as there is nothing else to wait for.
#[tokio::test(start_paused = true)]
async fn an_escaped_process_delays_the_end_no_longer_than_the_drain_limit() {
    let execution = start(shell("setsid sleep 1000 & echo $!; seq 1 5000; exit 7")).await;
    let started_at = tokio::time::Instant::now();
    let mut seen = Vec::new();
    while execution.ready().await == Ready::Output {
        execution.drain(&mut into(&mut seen), 1000).unwrap();
    }
    let end = execution.end().unwrap();
    assert_eq!(
        (end.status, end.output),
        (ExitStatus::Exited(7), OutputEnd::CutOff)
    );
    assert!(started_at.elapsed() >= DRAIN_LIMIT);
    let newline = seen.iter().position(|&byte| byte == b'\n').unwrap();
    assert!(
        seen[newline + 1..] == numbers(1, 5000),
        "all that the main process wrote is there"
    );
    let escaped: i32 = str::from_utf8(&seen[..newline]).unwrap().parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(escaped).unwrap(), Signal::KILL).unwrap();
    assert!(dies(escaped));
}

#[tokio::test(start_paused = true)]
async fn an_escaped_process_that_never_stops_writing_is_cut_off() {
    let execution = start(shell("setsid yes & echo $!; sleep 0.1")).await;
    let mut seen = Vec::new();
    while execution.ready().await == Ready::Output {
        let room = 100_usize.saturating_sub(seen.len());
        let mut sink = |_, bytes: &[u8]| {
            seen.extend(bytes.iter().take(room));
            Ok(())
        };
        execution.drain(&mut sink, 1 << 20).unwrap();
        // A paused clock stands still while there is always something to do.
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    assert_eq!(execution.end().unwrap().output, OutputEnd::CutOff);
    let escaped: i32 = str::from_utf8(&seen)
        .unwrap()
        .lines()
        .find_map(|line| line.parse().ok())
        .unwrap();
    rustix::process::kill_process(Pid::from_raw(escaped).unwrap(), Signal::KILL).unwrap();
    assert!(dies(escaped));
}
