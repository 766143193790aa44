//! Every refusal that a caller can bring about by what it sends, as the document that it gets.

use std::fmt::Write as _;

use protocol::limits::JSON_BODY_BYTES_MAX;

use crate::wire::{Ask, Reply};
use crate::world::World;

const UNKNOWN: &str = "default-01k2b3c4d5e6f7g8h9j0kmnpqr";

/// The cases, each with its name. All are people's; what agents are refused is in the modules of leases.
fn cases(world: &World) -> Vec<(&'static str, Ask)> {
    // tidy: long because it is a table: one row for each refusal.
    let job = |rest: &str| format!("/v1/jobs/{UNKNOWN}{rest}");
    let submit = |body: &'static str| world.say("POST", "/v1/jobs").body(body);
    let toml = |body: &'static str| submit(body).header("content-type", "application/toml");
    let missing = r#"{"command": ["true"], "inputs": {"a": {"digest": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}}"#;
    vec![
        ("no token", world.ask("GET", "/v1/jobs")),
        (
            "the wrong token",
            world.ask("GET", "/v1/jobs").token(crate::world::JOIN),
        ),
        ("no such path", world.say("GET", "/v1/tasks")),
        ("no such path outside", world.say("GET", "/favicon.ico")),
        ("wrong method", world.say("DELETE", "/v1/jobs")),
        ("wrong method for blobs", world.say("POST", "/v1/blobs/x")),
        ("malformed JSON", submit("{")),
        ("not UTF-8", submit("\u{1}").body(vec![0xff, 0xfe])),
        ("unknown field", submit(r#"{"command": ["true"], "comand": []}"#)),
        (
            "unknown field in TOML",
            toml("command = [\"true\"]\n\n[limits]\ncpu = 2\n"),
        ),
        (
            "broken rule",
            submit("{\n  \"command\": [\"true\"],\n  \"priority\": 101\n}"),
        ),
        ("neither command nor script", submit("{}")),
        ("missing input", submit(missing)),
        (
            "bad key",
            submit(r#"{"command": ["true"]}"#).header("idempotency-key", "two words"),
        ),
        ("malformed batch", world.say("POST", "/v1/jobs/batch").body("[]")),
        (
            "broken batch",
            world.say("POST", "/v1/jobs/batch").body("{\"jobs\": ["),
        ),
        (
            "empty batch",
            world.say("POST", "/v1/jobs/batch").body(r#"{"jobs": []}"#),
        ),
        ("unknown state", world.say("GET", "/v1/jobs?state=lost")),
        ("unknown query", world.say("GET", "/v1/jobs?status=queued")),
        ("bad cursor", world.say("GET", "/v1/jobs?cursor=3")),
        ("bad id", world.say("GET", "/v1/jobs/42")),
        (
            "another pool's job",
            world.say("GET", &format!("/v1/jobs/{}", UNKNOWN.replace("default", "gpu"))),
        ),
        ("unknown job", world.say("GET", &job(""))),
        ("unknown job's facts", world.say("GET", &job("/events"))),
        ("unknown job's reasons", world.say("GET", &job("/why"))),
        ("unknown job to cancel", world.say("POST", &job("/cancel"))),
        ("unknown job to rerun", world.say("POST", &job("/rerun"))),
        ("unknown job's log", world.say("GET", &job("/attempts/1/log"))),
        (
            "unknown job's artifact",
            world.say("GET", &job("/attempts/1/artifacts/a")),
        ),
        ("bad attempt", world.say("GET", &job("/attempts/one/log"))),
        (
            "bad stream",
            world.say("GET", &job("/attempts/1/log?stream=stdin")),
        ),
        (
            "bad reason",
            world.say("POST", &job("/cancel")).body(r#"{"why": "so"}"#),
        ),
        ("bad agent name", world.say("GET", "/v1/agents/Forge")),
        ("unknown agent", world.say("POST", "/v1/agents/forge/drain")),
        ("bad digest", world.say("GET", "/v1/blobs/abc")),
        (
            "unknown blob",
            world.say("GET", &format!("/v1/blobs/{}", "0".repeat(64))),
        ),
        (
            "wrong content",
            world
                .say("PUT", &format!("/v1/blobs/{}", "0".repeat(64)))
                .body("x"),
        ),
        (
            "bad offset",
            world
                .say("PUT", &format!("/v1/blobs/{}", "0".repeat(64)))
                .header("upload-offset", "x"),
        ),
        (
            "offset beyond",
            world
                .say("PUT", &format!("/v1/blobs/{}", "1".repeat(64)))
                .header("upload-offset", "3"),
        ),
    ]
}

fn show(reply: &Reply) -> String {
    let problem = reply.problem();
    let mut text = format!("{} {}: {}\n", problem.status, problem.code, problem.detail);
    for fault in problem.errors {
        let fault = serde_json::to_string(&fault).unwrap();
        writeln!(text, "    {fault}").unwrap();
    }
    text
}

#[tokio::test]
async fn every_refusal_is_a_problem_document_with_a_stable_code() {
    let world = World::start().await;
    let mut text = String::new();
    for (name, ask) in cases(&world) {
        let reply = ask.send().await;
        writeln!(text, "{name}\n    {}", show(&reply)).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let world = World::start().await;
    let allow = |path: &'static str| {
        let ask = world.say("DELETE", path);
        async move { ask.send().await.header("allow").to_owned() }
    };
    assert_eq!(allow("/v1/jobs").await, "GET,HEAD,POST");
    assert_eq!(allow("/v1/claims").await, "POST");
    assert_eq!(allow("/v1/limits").await, "GET,HEAD");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_name() {
    let world = World::start().await;
    let body = vec![b' '; JSON_BODY_BYTES_MAX + 1];
    let reply = world.say("POST", "/v1/jobs").body(body).send().await;
    assert_eq!(
        (reply.status.as_u16(), reply.problem().code.as_str()),
        (413, "body_too_large")
    );
}
