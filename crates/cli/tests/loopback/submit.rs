//! `submit`: specs from files, and what becomes of a batch.

use std::path::Path;

use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::program::{hiveforge, output, stderr};
use crate::script::{Coordinator, JOB, Script};

fn write(directory: &Path, name: &str, text: &str) -> String {
    let file = directory.join(name);
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[tokio::test]
async fn toml_and_json_submit_the_same_spec() {
    let dir = tempfile::tempdir().unwrap();
    let toml = write(
        dir.path(),
        "job.toml",
        "command = [\"make\"]\ntimeout = \"90s\"\n",
    );
    let json = write(
        dir.path(),
        "job.json",
        "{\"command\": [\"make\"], \"timeout\": \"1m30s\"}",
    );
    for file in [toml, json] {
        let coordinator = Coordinator::new(Script::default());
        let output = output(coordinator.router(), &["submit", &file]).await;
        assert_eq!(
            output.stdout,
            format!("{JOB}\n").into_bytes(),
            "{}",
            stderr(&output)
        );
        assert_eq!(
            coordinator.seen().bodies,
            [json!({ "command": ["make"], "timeout": "1m30s" })]
        );
    }
}

#[test]
fn a_wrong_spec_is_shown_in_its_file_and_nothing_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "job.toml",
        "command = [\"make\"]\ntimeout = \"soon\"\n",
    );
    let output = hiveforge(&["submit", &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(
        stderr(&output),
        format!(
            "error: `soon` is not a duration: write it like 90s, 250ms or 1h30m\n  --> {file}, line 2, column 11\n 2 | timeout = \"soon\"\n   |           ^\n"
        )
    );
}

#[tokio::test]
async fn a_batch_prints_the_accepted_and_names_the_refused() {
    let router = Router::new().route(
        "/v1/jobs/batch",
        post(|Json(body): Json<Value>| async move {
            assert_eq!(body["jobs"].as_array().unwrap().len(), 2);
            let problem = protocol::Problem::new(422, "quota", "too many jobs");
            Json(json!({ "items": [{ "submitted": { "id": JOB } }, { "refused": problem }] }))
        }),
    );
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "jobs.jsonl",
        "{\"command\":[\"a\"]}\n{\"command\":[\"b\"]}\n",
    );
    let output = output(router, &["submit", "--batch", &file]).await;
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(output.stdout, format!("{JOB}\n").into_bytes());
    assert_eq!(
        stderr(&output),
        "warning: job 2 of the batch was refused: too many jobs\nerror: 1 of 2 jobs were refused\n"
    );
}
