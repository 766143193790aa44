//! `job artifacts --download`: what a coordinator may and may not make the program write.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use axum::extract::Path as Segments;
use axum::routing::get;
use axum::{Json, Router};
use domain::Digest;
use serde_json::{Value, json};

use crate::program::{output, stderr};
use crate::script::{JOB, job};

const CONTENT: &[u8] = b"\0binary\xff";

/// A coordinator whose job left these artifacts, each with the same content.
fn router(items: Value) -> Router {
    Router::new()
        .route(
            "/v1/jobs/{job}",
            get(|| async { Json(job("succeeded", 2, json!({}))) }),
        )
        .route(
            "/v1/jobs/{job}/attempts/{n}/artifacts",
            get(move || async move { Json(json!({ "items": items })) }),
        )
        .route(
            "/v1/jobs/{job}/attempts/{n}/artifacts/{*path}",
            get(
                |Segments((_, n, path)): Segments<(String, u32, String)>| async move {
                    assert_eq!(n, 2);
                    assert!(!path.contains('%'), "{path} was encoded twice");
                    CONTENT
                },
            ),
        )
}

fn artifact(path: &str, digest: Digest) -> Value {
    json!({ "path": path, "size": CONTENT.len(), "digest": digest, "executable": path.ends_with("app") })
}

async fn download(items: Value, into: &Path) -> Output {
    let into = into.display().to_string();
    output(router(items), &["job", "artifacts", JOB, "--download", &into]).await
}

#[tokio::test]
async fn artifacts_arrive_with_their_bits() {
    let dir = tempfile::tempdir().unwrap();
    let right = Digest::of(CONTENT);
    let items = json!([artifact("bin/app", right), artifact("odd name? #1 é.txt", right)]);
    let output = download(items, dir.path()).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(std::fs::read(dir.path().join("bin/app")).unwrap(), CONTENT);
    assert_eq!(
        std::fs::read(dir.path().join("odd name? #1 é.txt")).unwrap(),
        CONTENT
    );
    let mode = std::fs::metadata(dir.path().join("bin/app"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o100, 0o100);
}

#[tokio::test]
async fn a_path_that_leads_out_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    let items = json!([artifact("../escaped", Digest::of(CONTENT))]);
    let output = download(items, &into).await;
    assert_eq!(output.status.code(), Some(74), "{}", stderr(&output));
    assert!(!dir.path().join("escaped").exists());
}

#[tokio::test]
async fn content_with_another_digest_is_not_put_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let output = download(json!([artifact("app", Digest::of(b"other"))]), dir.path()).await;
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
