//! Ctrl-C, and readers that go away.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};

use protocol::frame::Stream;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::program::{beside, hiveforge, told_of};
use crate::script::{Connection, Coordinator, END, Script, Then, events, job};

/// A job that writes `ready` and runs until it is cancelled.
fn endless() -> Coordinator {
    Coordinator::new(Script {
        views: vec![job("running", 1, json!({})), job("cancelled", 1, json!({}))],
        connections: [Connection {
            bytes: events(&[(Stream::Stdout, b"ready\n")]).concat(),
            then: Then::UntilCancelled(
                [
                    events(&[(Stream::Stdout, b"ready\n"), (Stream::Stdout, b"more\n")]).concat(),
                    END.to_vec(),
                ]
                .concat(),
            ),
        }]
        .into(),
        ..Script::default()
    })
}

/// Runs it, lets `act` do something once it is ready, and returns its end and its stderr.
async fn run(
    coordinator: &Coordinator,
    arguments: &[&str],
    act: impl FnOnce(&Child, BufReader<ChildStdout>, &mut dyn Iterator<Item = String>) + Send + 'static,
) -> (ExitStatus, String) {
    let arguments: Vec<String> = [&["run"], arguments, &["--", "yes"]]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let acting = move |address| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = hiveforge(&arguments);
        let mut child = told_of(&mut command, address)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        act(&child, stdout, &mut (&mut stderr).lines().map(Result::unwrap));
        stderr.read_to_string(&mut said).unwrap();
        (child.wait().unwrap(), said)
    };
    beside(coordinator.router(), acting).await
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

#[tokio::test]
async fn the_first_interrupt_cancels_and_the_output_goes_on_to_the_end() {
    let coordinator = endless();
    let (status, said) = run(&coordinator, &[], |child, mut stdout, _| {
        interrupt(child);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "more\n");
    })
    .await;
    assert_eq!(status.code(), Some(130), "{said}");
    assert_eq!(coordinator.seen().cancels, [json!("hiveforge run: interrupted")]);
}

#[tokio::test]
async fn a_job_that_is_lost_after_the_user_wanted_its_end_is_not_submitted_again() {
    let coordinator = Coordinator::new(Script {
        views: vec![job("running", 1, json!({}))],
        connections: [Connection {
            bytes: events(&[(Stream::Stdout, b"ready\n")]).concat(),
            then: Then::UntilCancelled(Vec::new()),
        }]
        .into(),
        loses_what_is_cancelled: true,
        ..Script::default()
    });
    let (status, said) = run(&coordinator, &[], |child, mut stdout, _| {
        interrupt(child);
        stdout.read_to_string(&mut String::new()).unwrap();
    })
    .await;
    assert_eq!(status.code(), Some(64), "{said}");
    assert_eq!(coordinator.seen().cancels.len(), 1);
    assert_eq!(coordinator.seen().keys.len(), 1, "{said}");
}

#[tokio::test]
async fn the_second_interrupt_leaves_the_job_alone() {
    let coordinator = Coordinator::new(Script {
        views: vec![job("running", 1, json!({}))],
        connections: [Connection {
            bytes: events(&[(Stream::Stdout, b"ready\n")]).concat(),
            then: Then::UntilCancelled(Vec::new()),
        }]
        .into_iter()
        .chain((0..50).map(|_| Connection {
            bytes: Vec::new(),
            then: Then::Close,
        }))
        .collect(),
        ..Script::default()
    });
    let (status, said) = run(&coordinator, &[], |child, _stdout, stderr| {
        interrupt(child);
        while !stderr.next().unwrap().contains("once more leaves it running") {}
        interrupt(child);
    })
    .await;
    assert_eq!(status.code(), Some(130));
    assert!(said.contains("goes on"), "{said}");
    assert_eq!(coordinator.seen().cancels.len(), 1);
}

#[tokio::test]
async fn with_detach_the_first_interrupt_cancels_nothing() {
    let coordinator = endless();
    let (status, _) = run(
        &coordinator,
        &["--on-interrupt", "detach"],
        |child, _stdout, _| interrupt(child),
    )
    .await;
    assert_eq!(status.code(), Some(130));
    assert!(coordinator.seen().cancels.is_empty());
}

#[tokio::test]
async fn a_reader_that_goes_away_cancels_as_a_broken_pipe_would() {
    let coordinator = Coordinator::new(Script {
        views: vec![job("running", 1, json!({})), job("cancelled", 1, json!({}))],
        connections: [
            Connection {
                bytes: events(&[(Stream::Stdout, b"ready\n")]).concat(),
                then: Then::Close,
            },
            Connection {
                bytes: events(&[
                    (Stream::Stdout, b"ready\n"),
                    (Stream::Stdout, b"nobody reads this\n"),
                ])
                .concat(),
                then: Then::UntilCancelled(END.to_vec()),
            },
        ]
        .into(),
        ..Script::default()
    });
    let (status, said) = run(&coordinator, &[], |_, stdout, _| drop(stdout)).await;
    assert_eq!(status.code(), Some(130), "{said}");
    assert_eq!(
        coordinator.seen().cancels,
        [json!("hiveforge run: the reader of the output has gone")]
    );
    assert!(!said.contains("panicked"), "{said}");
}
