//! What goes in and what comes out of a run: inputs, logs, artifacts.

use domain::job::RunEnd;
use domain::spec::{ArtifactRule, Input};
use domain::{ByteSize, Cause, Digest};
use protocol::Problem;
use protocol::frame::{Decoder, Stream};

use crate::coordinator::{Coordinator, State};
use crate::harness::{Harness, script};

fn rule(glob: &str) -> ArtifactRule {
    ArtifactRule {
        glob: glob.to_owned(),
        optional: false,
    }
}

/// All that a job wrote to one stream.
fn written(coordinator: &Coordinator, job: &domain::JobId, stream: Stream) -> Vec<u8> {
    let mut decoder = Decoder::default();
    decoder.push(&coordinator.state().logs[job]);
    let frames = std::iter::from_fn(|| decoder.next_frame().unwrap());
    frames
        .filter(|frame| frame.stream == stream)
        .flat_map(|frame| frame.data)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_log_travels_with_the_finish_stream_by_stream() {
    let world = Harness::new().await;
    let agent = world.agent().await;
    let job = world
        .coordinator
        .submit(script("echo out; echo err >&2; printf %s \"$HIVEFORGE_JOB_ID\""));
    let finish = world.coordinator.finished(&job).await;
    assert!(finish.log.is_some());
    assert_eq!(
        written(&world.coordinator, &job, Stream::Stdout),
        format!("out\n{job}").into_bytes()
    );
    assert_eq!(written(&world.coordinator, &job, Stream::Stderr), b"err\n");
    assert_eq!(world.coordinator.state().log_requests, 0);
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_log_is_shipped_to_the_last_byte_even_if_replies_are_lost() {
    let world = Harness::new().await;
    world.coordinator.state().lose.insert("/v1/leases/log", 2);
    let agent = world.agent().await;
    let job = world.coordinator.submit(script("seq 1 400000"));
    let finish = world.coordinator.finished(&job).await;
    let expected: String = (1..=400_000).map(|n| format!("{n}\n")).collect();
    assert_eq!((finish.log, finish.report.end), (None, RunEnd::Succeeded));
    assert_eq!(
        written(&world.coordinator, &job, Stream::Stdout),
        expected.into_bytes()
    );
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_the_coordinator_lost_in_part_is_supplied_again() {
    let world = Harness::new().await;
    world.coordinator.state().lose_log_once = true;
    let agent = world.agent().await;
    let job = world.coordinator.submit(script("seq 1 50000"));
    world.coordinator.finished(&job).await;
    let expected: String = (1..=50_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(
        written(&world.coordinator, &job, Stream::Stdout),
        expected.into_bytes()
    );
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_over_its_limit_ends_with_a_note_of_the_agent() {
    let world = Harness::new().await;
    let agent = world.agent().await;
    let mut spec = script("seq 1 1000");
    spec.limits.log = Some(ByteSize(100));
    let job = world.coordinator.submit(spec);
    assert_eq!(
        world.coordinator.finished(&job).await.report.end,
        RunEnd::Succeeded
    );
    assert_eq!(written(&world.coordinator, &job, Stream::Stdout).len(), 100);
    let note = String::from_utf8(written(&world.coordinator, &job, Stream::Agent)).unwrap();
    assert_eq!(note, "log limit of 100B reached: 3793 more bytes were dropped\n");
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_are_there_before_the_start_and_artifacts_after_the_end() {
    let world = Harness::new().await;
    let program = b"#!/bin/sh\nmkdir out; echo made > out/a; head -c 1000000 /dev/zero > out/b\n";
    let digest = Digest::of(program);
    world
        .coordinator
        .state()
        .blobs
        .insert(digest, program.as_slice().into());
    world.coordinator.state().forget_blobs_once = true;
    let agent = world.agent().await;
    let mut spec = script("./bin/make");
    spec.inputs.insert(
        "bin/make".to_owned(),
        Input {
            digest,
            executable: true,
        },
    );
    spec.artifacts.push(rule("out/*"));
    let job = world.coordinator.submit(spec);
    let finish = world.coordinator.finished(&job).await;
    assert_eq!(finish.report.end, RunEnd::Succeeded);
    let listed: Vec<_> = finish
        .artifacts
        .iter()
        .map(|artifact| (artifact.path.as_str(), artifact.size))
        .collect();
    assert_eq!(listed, [("out/a", 5), ("out/b", 1_000_000)]);
    agent.close().await;
    let state = world.coordinator.state();
    assert_eq!(state.blobs[&finish.artifacts[0].digest], b"made\n".as_slice());
    assert!(state.blobs.contains_key(&finish.artifacts[1].digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_is_refused_for_good_fails_the_job_and_says_why() {
    let world = Harness::new().await;
    let problem = Problem::new(400, "manifest_too_large", "too many words");
    world.coordinator.state().refusals.push_back(problem);
    let agent = world.agent().await;
    let mut spec = script("touch out");
    spec.artifacts.push(rule("out"));
    let job = world.coordinator.submit(spec);
    let finish = world.coordinator.finished(&job).await;
    let refused = RunEnd::Failed(Cause::ArtifactRefused {
        why: "too many words".to_owned(),
    });
    assert_eq!((finish.report.end, finish.artifacts.len()), (refused, 0));
    assert_eq!(finish.report.evidence.map(|evidence| evidence.artifacts), Some(0));
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_a_run_whose_artifacts_nobody_takes_now() {
    let world = Harness::new().await;
    world.coordinator.state().ttl_ms = 900;
    world.coordinator.state().upload_refusal = Some(Problem::new(507, "vault_full", "later"));
    let agent = world.agent().await;
    let mut spec = script("touch out");
    spec.artifacts.push(rule("out"));
    let job = world.coordinator.submit(spec);
    let tried = |state: &mut State| (state.uploads > 1).then_some(());
    world.coordinator.until("the upload is tried again", tried).await;
    world.coordinator.state().cancels.insert(job.clone());
    let finish = world.coordinator.finished(&job).await;
    assert_eq!(
        (finish.report.end, finish.artifacts.len()),
        (RunEnd::Cancelled, 0)
    );
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_that_is_never_taken_fails_the_job_and_names_itself() {
    let world = Harness::new().await;
    world.coordinator.state().upload_refusal = Some(Problem::new(400, "upload_odd", "it is odd"));
    let agent = world.agent().await;
    let mut spec = script("touch out");
    spec.artifacts.push(rule("out"));
    let job = world.coordinator.submit(spec);
    let end = world.coordinator.finished(&job).await.report.end;
    let why = "cannot upload `out`: it is odd (upload_odd)".to_owned();
    assert_eq!(end, RunEnd::Failed(Cause::AgentFault { why }));
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_fails_the_job_and_names_itself() {
    let world = Harness::new().await;
    let agent = world.agent().await;
    let mut wants_output = script("true");
    wants_output.artifacts.push(rule("out/*"));
    let mut wants_input = script("true");
    let digest = Digest::of(b"nowhere");
    wants_input.inputs.insert(
        "in".to_owned(),
        Input {
            digest,
            executable: false,
        },
    );
    let (output, input) = (
        world.coordinator.submit(wants_output),
        world.coordinator.submit(wants_input),
    );
    let missing = RunEnd::Failed(Cause::ArtifactMissing {
        glob: "out/*".to_owned(),
    });
    assert_eq!(world.coordinator.finished(&output).await.report.end, missing);
    let missing = RunEnd::Failed(Cause::InputMissing {
        path: "in".to_owned(),
    });
    assert_eq!(world.coordinator.finished(&input).await.report.end, missing);
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_on_disk_of_runs_that_are_over() {
    let world = Harness::new().await;
    let mut agent = world.agent().await;
    let mut spec = script("seq 1 50000; touch kept other");
    spec.artifacts.push(rule("kept"));
    let job = world.coordinator.submit(spec);
    world.coordinator.finished(&job).await;
    agent.stop(agent::Stop::Drain);
    agent.wait().await.unwrap();
    agent.close().await;
    assert_eq!(
        ["work", "spool", "runs"].map(|dir| world.left(dir).len()),
        [0, 0, 0]
    );
}
