//! The tree as it is drawn, and actors that die while a job runs.

use std::sync::Arc;
use std::time::Duration;

use agent::Station;
use agent_tree::tree;
use domain::job::RunEnd;
use executor::fake::FakeExecutor;
use executor::{ExitStatus, Stream};
use supervision::{Tree, draw};

use crate::harness::Harness;

#[tokio::test]
async fn the_tree_is_this_one() {
    let world = Harness::new().await;
    let executor = FakeExecutor::new(|_| Ok(executor::fake::Script::default()));
    let station = Station::open(&world.config("slots = 2"), Arc::new(executor)).unwrap();
    insta::assert_snapshot!(draw("agent", &tree(&station)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_actors_die_at_once_and_the_run_goes_on_without_losing_a_byte() {
    let world = Harness::new().await;
    let steps = (0..40).flat_map(|n| {
        let line = format!("line {n}\n").into_bytes();
        [
            executor::fake::Step::Write(Stream::Stdout, line),
            executor::fake::Step::Wait(Duration::from_millis(10)),
        ]
    });
    let steps: Vec<_> = steps
        .chain([executor::fake::Step::Exit(ExitStatus::Exited(0))])
        .collect();
    let script = executor::fake::Script {
        steps,
        ignores_terminate: false,
    };
    let executor = FakeExecutor::new(move |_| Ok(script.clone()));
    let station = Station::open(&world.config("slots = 2"), Arc::new(executor.clone())).unwrap();
    let job = world.coordinator.submit(domain::JobSpec::command(["/talk"]));
    let finish = loop {
        let actors = Tree::start("agent", tree(&station)).await.unwrap();
        let lived = tokio::time::timeout(Duration::from_millis(70), world.coordinator.finished(&job)).await;
        // A tree that is dropped is killed, as if every actor had failed.
        drop(actors);
        if let Ok(finish) = lived {
            break finish;
        }
    };
    let starts = executor
        .asked()
        .iter()
        .filter(|asked| matches!(asked, executor::fake::Asked::Start(..)))
        .count();
    assert_eq!((starts, finish.report.end), (1, RunEnd::Succeeded));
    let log = world.coordinator.state().logs[&job].clone();
    let mut decoder = protocol::frame::Decoder::default();
    decoder.push(&log);
    let frames = std::iter::from_fn(|| decoder.next_frame().unwrap());
    let text: Vec<u8> = frames.flat_map(|frame| frame.data).collect();
    let expected: String = (0..40).map(|n| format!("line {n}\n")).collect();
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}
