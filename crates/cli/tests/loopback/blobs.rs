//! Inputs and blobs: uploaded once, streamed, named by their digest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::Digest;
use serde_json::{Value, json};

use crate::program::{output, stderr};
use crate::script::{JOB, problem};

/// Larger than what is read at once, and no multiple of it.
const LARGE_BYTES: usize = (1 << 20) + 17;

#[derive(Clone, Default)]
struct Vault {
    blobs: Arc<Mutex<BTreeMap<String, Bytes>>>,
    puts: Arc<Mutex<usize>>,
    specs: Arc<Mutex<Vec<Value>>>,
}

impl Vault {
    fn router(&self) -> Router {
        Router::new()
            .route("/v1/blobs/{digest}", get(read).put(write))
            .route("/v1/jobs", post(submit))
            .layer(DefaultBodyLimit::disable())
            .with_state(self.clone())
    }
}

async fn read(State(vault): State<Vault>, Path(digest): Path<String>) -> Response {
    match vault.blobs.lock().unwrap().get(&digest) {
        Some(bytes) => bytes.clone().into_response(),
        None => problem(404, "blob_not_found", "no such blob"),
    }
}

async fn write(State(vault): State<Vault>, Path(digest): Path<String>, body: Bytes) -> StatusCode {
    assert_eq!(Digest::of(&body).to_string(), digest);
    *vault.puts.lock().unwrap() += 1;
    vault.blobs.lock().unwrap().insert(digest, body);
    StatusCode::CREATED
}

async fn submit(State(vault): State<Vault>, Json(spec): Json<Value>) -> Json<Value> {
    vault.specs.lock().unwrap().push(spec);
    Json(json!({ "id": JOB }))
}

#[tokio::test]
async fn inputs_are_uploaded_once_and_named_in_the_spec() {
    let dir = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..LARGE_BYTES).map(|n| n.to_le_bytes()[0]).collect();
    std::fs::create_dir(dir.path().join("src")).unwrap();
    std::fs::write(dir.path().join("src/large"), &large).unwrap();
    std::fs::write(dir.path().join("src/empty"), "").unwrap();
    let input = format!("{}/src=in", dir.path().display());
    let vault = Vault::default();
    for _ in 0..2 {
        let output = output(
            vault.router(),
            &["run", "--detach", "--input", &input, "--", "true"],
        )
        .await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    assert_eq!(*vault.puts.lock().unwrap(), 2);
    let inputs = json!({
        "in/empty": { "digest": Digest::of(b"") },
        "in/large": { "digest": Digest::of(&large) },
    });
    assert_eq!(vault.specs.lock().unwrap()[1]["inputs"], inputs);
}

#[tokio::test]
async fn a_blob_comes_back_as_it_was_put() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a").display().to_string();
    let back = dir.path().join("b").display().to_string();
    std::fs::write(&file, b"\0\xffblob").unwrap();
    let vault = Vault::default();
    let put = output(vault.router(), &["blob", "put", &file]).await;
    let digest = Digest::of(b"\0\xffblob").to_string();
    assert_eq!(put.stdout, format!("{digest}\n").into_bytes(), "{}", stderr(&put));
    let got = output(vault.router(), &["blob", "get", &digest]).await;
    assert_eq!(got.stdout, b"\0\xffblob");
    output(vault.router(), &["blob", "get", &digest, "--file", &back]).await;
    assert_eq!(std::fs::read(&back).unwrap(), b"\0\xffblob");
}

#[tokio::test]
async fn a_blob_that_was_damaged_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let back = dir.path().join("b");
    let digest = Digest::of(b"right").to_string();
    let vault = Vault::default();
    vault
        .blobs
        .lock()
        .unwrap()
        .insert(digest.clone(), Bytes::from_static(b"wrong"));
    let got = output(
        vault.router(),
        &["blob", "get", &digest, "--file", &back.display().to_string()],
    )
    .await;
    assert_eq!(got.status.code(), Some(65), "{}", stderr(&got));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
