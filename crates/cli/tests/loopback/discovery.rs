//! Finding the coordinator, seen from outside: the data directory, and what is said when there is none.

use std::process::Command;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::program::{beside, hiveforge};

fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn the_data_directory_names_coordinator_and_token() {
    let router = Router::new().route(
        "/v1/jobs",
        get(|headers: axum::http::HeaderMap| async move {
            assert_eq!(headers["authorization"], "Bearer hft_file");
            Json(json!({ "items": [] }))
        }),
    );
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join(".local/state/hiveforge");
    std::fs::create_dir_all(&data).unwrap();
    let path = home.path().to_path_buf();
    let output = beside(router, move |address| {
        std::fs::write(data.join("url"), format!("http://{address}\n")).unwrap();
        std::fs::write(data.join("admin.token"), "hft_file\n").unwrap();
        hiveforge(&["job", "list", "-o", "json"])
            .env("HOME", path)
            .output()
            .unwrap()
    })
    .await;
    assert_eq!(output.stdout, b"{\"items\":[]}\n");
}

#[test]
fn without_a_coordinator_the_way_out_is_named() {
    let home = tempfile::tempdir().unwrap();
    let (code, text) = said(hiveforge(&["job", "list"]).env("HOME", home.path()));
    assert_eq!(code, Some(69));
    let expected = format!(
        "error: no coordinator found ({}/.local/state/hiveforge/url does not exist)\n\
         hint: start one with `hiveforge up`, or set HIVEFORGE_COORDINATOR\n",
        home.path().display()
    );
    assert_eq!(text, expected);
}

#[test]
fn what_is_wrong_with_the_surroundings_has_its_exit_code() {
    let url = ("HIVEFORGE_URL", "http://127.0.0.1:1");
    let token = ("HIVEFORGE_TOKEN", "t");
    let list = || hiveforge(&["job", "list"]);
    assert_eq!(said(&mut list()).0, Some(78), "no HOME");
    assert_eq!(
        said(list().envs([url, ("HOME", "/nonexistent")])).0,
        Some(77),
        "no token"
    );
    assert_eq!(
        said(list().envs([("HIVEFORGE_URL", "ftp://x"), token])).0,
        Some(78),
        "no URL"
    );
    assert_eq!(said(list().envs([url, token])).0, Some(69), "nobody listens");
    assert_eq!(
        said(&mut hiveforge(&["job", "show", "x"])).0,
        Some(2),
        "no job id"
    );
    assert_eq!(
        said(&mut hiveforge(&["frobnicate"])).0,
        Some(2),
        "no such command"
    );
}

#[test]
fn help_and_exit_codes_go_to_standard_output() {
    for arguments in [&["help", "exit-codes"][..], &["exit-codes"]] {
        let output = hiveforge(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .contains("gave up waiting; the job goes on")
        );
    }
}
