//! `run`: the job's bytes, its exit code, and what happens when connections break.

use std::process::Output;

use protocol::frame::Stream;
use serde_json::{Value, json};

use crate::program::{output, stderr};
use crate::script::{Connection, Coordinator, END, JOB, Script, Then, attempt, events, job, whole};

const WRITES: [(Stream, &[u8]); 4] = [
    (Stream::Stdout, b"one\0two\xff\xfe\r\n"),
    (Stream::Stderr, b"\x1b[31m\x80err\n"),
    (Stream::Stdout, b"no newline at the end"),
    (Stream::Stdout, b""),
];

fn ended(state: &str, cause: Value) -> Vec<Value> {
    vec![
        job("queued", 0, json!({})),
        job("running", 1, json!({})),
        job(state, 1, json!({ "cause": cause })),
    ]
}

async fn run(script: Script, arguments: &[&str]) -> (Output, Coordinator) {
    let coordinator = Coordinator::new(script);
    let arguments = [&["run"], arguments, &["--", "true"]].concat();
    let output = output(coordinator.router(), &arguments).await;
    (output, coordinator)
}

async fn check(state: &str, cause: Value, code: i32) {
    let script = Script {
        views: ended(state, cause.clone()),
        connections: [whole(&[])].into(),
        ..Script::default()
    };
    let (output, _) = run(script, &[]).await;
    assert_eq!(
        output.status.code(),
        Some(code),
        "{state} {cause}: {}",
        stderr(&output)
    );
}

#[tokio::test]
async fn the_exit_code_tells_how_the_job_ended() {
    check("succeeded", json!(null), 0).await;
    check("failed", json!({ "kind": "exit", "code": 3 }), 3).await;
    check("failed", json!({ "kind": "signal", "signal": 9 }), 137).await;
    check("failed", json!({ "kind": "timeout" }), 124).await;
    check("failed", json!({ "kind": "agent_died" }), 76).await;
    check("cancelled", json!(null), 130).await;
}

#[tokio::test]
async fn output_is_passed_on_byte_for_byte() {
    let script = Script {
        views: ended("succeeded", json!(null)),
        connections: [whole(&WRITES)].into(),
        ..Script::default()
    };
    let (output, coordinator) = run(script, &[]).await;
    assert_eq!(output.stdout, b"one\0two\xff\xfe\r\nno newline at the end");
    let said = [format!("hiveforge: job {JOB} queued\n").as_bytes(), WRITES[1].1].concat();
    assert_eq!(output.stderr, said);
    let seen = coordinator.seen();
    assert_eq!(seen.bodies, [json!({ "command": ["true"] })]);
    assert_eq!(seen.resumed_at, [None]);
}

#[tokio::test]
async fn a_broken_log_is_resumed_without_loss_or_repetition() {
    let parts = events(&WRITES);
    let half = parts[2].len() / 2;
    let connection = |bytes: Vec<u8>, then| Connection { bytes, then };
    let script = Script {
        views: ended("succeeded", json!(null)),
        connections: [
            connection(
                [parts[0].clone(), parts[1].clone(), parts[2][..half].to_vec()].concat(),
                Then::Cut,
            ),
            // Nothing new, and an end that is none: the event `end` is missing.
            connection(Vec::new(), Then::Close),
            // One event too many: it was written already.
            connection([parts[1..].concat(), END.to_vec()].concat(), Then::Close),
        ]
        .into(),
        ..Script::default()
    };
    let (output, coordinator) = run(script, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(output.stdout, b"one\0two\xff\xfe\r\nno newline at the end");
    assert!(output.stderr.ends_with(WRITES[1].1));
    let after_two = (13 + WRITES[0].1.len() + 13 + WRITES[1].1.len()).to_string();
    assert_eq!(
        coordinator.seen().resumed_at,
        [None, Some(after_two.clone()), Some(after_two)]
    );
}

#[tokio::test]
async fn the_output_of_each_attempt_follows_with_a_note_between() {
    let lost = attempt(1, "failed", json!({ "kind": "agent_died" }));
    let script = Script {
        views: vec![
            job("running", 1, json!({})),
            job("queued", 1, json!({ "attempts": [lost] })),
            job("running", 2, json!({ "attempts": [lost] })),
            job(
                "failed",
                2,
                json!({ "attempts": [lost, attempt(2, "failed", json!({ "kind": "exit", "code": 7 }))],
                "cause": { "kind": "exit", "code": 7 } }),
            ),
        ],
        connections: [
            whole(&[(Stream::Stdout, b"first\n")]),
            whole(&[(Stream::Stdout, b"second\n")]),
        ]
        .into(),
        ..Script::default()
    };
    let (output, _) = run(script, &[]).await;
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"first\nsecond\n");
    assert_eq!(
        stderr(&output),
        format!(
            "hiveforge: job {JOB} queued\n\
             hiveforge: attempt 1 on forge-1 did not end the job: the agent died\n\
             hiveforge: job {JOB} failed: exit status 7\n"
        )
    );
}

#[tokio::test]
async fn a_lost_submit_is_repeated_under_the_same_key() {
    let script = Script {
        views: ended("succeeded", json!(null)),
        connections: [whole(&[])].into(),
        busy: 2,
        ..Script::default()
    };
    let (output, coordinator) = run(script, &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let seen = coordinator.seen();
    assert_eq!(seen.keys.len(), 3);
    assert!(seen.keys.iter().all(|key| *key == seen.keys[0]));
}

#[tokio::test]
async fn detached_it_prints_the_id_and_nothing_else() {
    let (output, _) = run(Script::default(), &["--detach"]).await;
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_eq!(output.stdout, format!("{JOB}\n").into_bytes());
}

#[tokio::test]
async fn giving_up_has_its_own_exit_code_and_the_result_file_tells_it_from_the_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("result.json").display().to_string();
    let script = Script {
        views: vec![job("queued", 0, json!({}))],
        ..Script::default()
    };
    let (output, _) = run(script, &["--wait", "100ms", "--result-file", &file]).await;
    assert_eq!(output.status.code(), Some(75));
    let result: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let (id, state) = (&result["id"], &result["state"]);
    assert_eq!(
        (id, state, &result["exit_code"]),
        (&json!(JOB), &json!("queued"), &json!(null))
    );

    let script = Script {
        views: ended("failed", json!({ "kind": "exit", "code": 75 })),
        connections: [whole(&[])].into(),
        ..Script::default()
    };
    let (output, _) = run(script, &["--result-file", &file]).await;
    assert_eq!(output.status.code(), Some(75));
    let result: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        result,
        json!({ "id": JOB, "state": "failed", "attempt": 1, "exit_code": 75, "signal": null,
            "cause": { "kind": "exit", "code": 75 }, "cause_text": "exit status 75" })
    );
}
