//! What a system must survive, and the words and codes with which it answers.

use std::fs;

use anyhow::Result;
use hiveforge_tests_e2e::{Api, Kind, System};
use protocol::client::{ClientError, Options};
use serde::de::IgnoredAny;

const NO_JOB: &str = "default-01k2b3c4d5e6f7g8h9j0kmnpqr";

/// Path, body, status and code.
const BAD_POSTS: &[(&str, &str, u16, &str)] = &[
    (
        "/v1/jobs",
        "{\"command\": [\"true\"], \"colour\": 1}",
        422,
        "spec_invalid",
    ),
    (
        "/v1/jobs",
        "{\"command\": [\"true\"], \"timeout\": \"5 parsecs\"}",
        422,
        "spec_invalid",
    ),
    (
        "/v1/jobs",
        "{\"command\": [\"true\"], \"timeout\": 5}",
        422,
        "spec_invalid",
    ),
    ("/v1/jobs", "{\"command\": []}", 422, "spec_invalid"),
    (
        "/v1/jobs",
        "{\"command\": [\"true\"], \"requires\": [\"gpu >\"]}",
        422,
        "spec_invalid",
    ),
    (
        "/v1/jobs",
        "{\"command\": [\"true\"], \"inputs\": {\"../x\": {\"digest\": \"00\"}}}",
        422,
        "spec_invalid",
    ),
    ("/v1/jobs", "{\"command\": [\"true\"", 422, "spec_invalid"),
    ("/v1/jobs/batch", "{\"jobs\": []}", 400, "batch_size"),
    ("/v1/jobs/batch", "[]", 400, "body_invalid"),
    ("/v1/jobs/batch", "{\"jobs\": [", 400, "body_not_json"),
    ("/v1/claims", "{}", 400, "body_invalid"),
];

/// Path, status and code.
const BAD_GETS: &[(&str, u16, &str)] = &[
    ("/v1/jobs/default-01k2b3c4d5e6f7g8h9j0kmnpqr", 404, "job_unknown"),
    ("/v1/jobs/nonsense", 400, "bad_name"),
    ("/v1/jobs?state=asleep", 400, "bad_query"),
    ("/v1/jobs?cursor=nonsense", 400, "bad_cursor"),
    ("/v1/agents/nobody", 404, "agent_unknown"),
    ("/v1/blobs/00", 400, "bad_digest"),
    ("/v1/nothing", 404, "no_such_path"),
];

/// Arguments, exit code, and some of what is said.
const BAD_COMMANDS: &[(&[&str], i32, &str)] = &[
    (&["frobnicate"], 2, "unrecognized subcommand"),
    (&["run"], 2, "required"),
    (&["up", "--lease-ttl", "1ms"], 2, "a lease lives for 2s to 10m"),
    (
        &["run", "--timeout", "5 parsecs", "--", "true"],
        2,
        "`5 parsecs` is not a duration",
    ),
    (&["run", "--require", "gpu >", "--", "true"], 2, "gpu >"),
    (&["run", "--priority", "101", "--", "true"], 64, "101"),
    (
        &["run", "--input", "/no/such/file", "--", "true"],
        74,
        "/no/such/file",
    ),
    (&["submit", "field.toml"], 65, "field.toml, line 2, column 1"),
    (&["submit", "time.toml"], 65, "line 2, column 11"),
    (&["submit", "empty.json"], 65, "command"),
    (&["submit", "cut.json"], 65, "line 1"),
    (&["submit", "missing.toml"], 74, "missing.toml"),
    (
        &["submit", "good.toml", "--url", "not a url"],
        78,
        "not the URL of a coordinator",
    ),
    (&["job", "show", NO_JOB], 64, "there is no job"),
    (&["job", "show", "nonsense"], 2, "nonsense"),
    (&["job", "cancel", NO_JOB], 64, "there is no job"),
    (&["job", "list", "--state", "asleep"], 2, "asleep"),
    (&["agents", "drain", "nobody"], 64, "nobody"),
    (&["blob", "get", "00"], 2, "64 hexadecimal digits"),
    (
        &["coordinator", "--nexus", "oracle:x", "--listen", "127.0.0.1:0"],
        78,
        "names no nexus",
    ),
    (
        &[
            "agent",
            "--coordinator",
            "http://127.0.0.1:1",
            "--join-token-file",
            "missing",
        ],
        74,
        "missing",
    ),
];

#[test]
fn each_bad_request_has_its_status_and_code() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let api = system.api();
    for (path, body, status, code) in BAD_POSTS {
        let answer = api.post::<IgnoredAny>(path, body, Options::default());
        refused(answer, *status, code, &format!("POST {path} {body}"));
    }
    for (path, status, code) in BAD_GETS {
        refused(api.get::<IgnoredAny>(path), *status, code, &format!("GET {path}"));
    }
    refused(api.put("/v1/jobs", b""), 405, "wrong_method", "PUT /v1/jobs");
    let other = domain::Digest::of(b"other");
    refused(
        api.put(&format!("/v1/blobs/{other}"), b"this"),
        400,
        "digest_mismatch",
        "PUT a blob",
    );
    let large = format!(
        "{{\"command\": [\"true\"], \"name\": \"{}\"}}",
        "x".repeat(17 << 20)
    );
    refused(
        api.post::<IgnoredAny>("/v1/jobs", &large, Options::default()),
        413,
        "body_too_large",
        "a large body",
    );

    let wrong = Api::new(&system.url(), "wrong")?;
    refused(
        wrong.get::<IgnoredAny>("/v1/jobs"),
        401,
        "unauthenticated",
        "a wrong token",
    );
    let join = fs::read_to_string(system.data().join("join.token"))?;
    let join = Api::new(&system.url(), join.trim())?;
    refused(
        join.get::<IgnoredAny>("/v1/jobs"),
        403,
        "forbidden",
        "an agent's token",
    );
    assert_eq!(api.all()?.len(), 0, "nothing was submitted");
    system.finish()?.all_ended_once()
}

#[test]
fn a_repeated_key_gives_the_same_job_and_another_body_is_refused() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let submit = |body: &str| {
        let options = Options::default().header("idempotency-key", "once");
        system.api().post::<serde_json::Value>("/v1/jobs", body, options)
    };
    let first = submit("{\"command\": [\"true\"]}")?;
    assert_eq!(submit("{\"command\": [\"true\"]}")?["id"], first["id"]);
    refused(
        submit("{\"command\": [\"false\"]}"),
        409,
        "idempotency_mismatch",
        "another body",
    );
    let id = first["id"].as_str().expect("an id").parse()?;
    system.api().ended(&id)?;
    assert_eq!(system.api().all()?.len(), 1);
    system.finish()?.all_ended_once()
}

#[test]
fn each_bad_command_line_has_its_exit_code() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let home = system.directory();
    fs::write(home.join("field.toml"), "command = [\"true\"]\ncolour = 1\n")?;
    fs::write(
        home.join("time.toml"),
        "command = [\"true\"]\ntimeout = \"5 parsecs\"\n",
    )?;
    fs::write(home.join("empty.json"), "{\"command\": []}")?;
    fs::write(home.join("cut.json"), "{\"command\": [\"true\"")?;
    fs::write(home.join("good.toml"), "command = [\"true\"]\n")?;
    let mut wrong = Vec::new();
    for (arguments, code, words) in BAD_COMMANDS {
        let finished = system.cli.run(*arguments)?;
        if finished.code != Some(*code) || !finished.stderr().contains(words) {
            wrong.push(format!(
                "{arguments:?} exits with {:?}, not {code}, or does not say `{words}`: {}",
                finished.code,
                finished.stderr()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(system.api().all()?.len(), 0, "nothing was submitted");
    system.finish()?.all_ended_once()
}

fn refused<T>(answer: Result<T, ClientError>, status: u16, code: &str, what: &str) {
    match answer {
        Err(ClientError::Problem(problem)) => {
            assert_eq!(
                (problem.status, problem.code.as_str()),
                (status, code),
                "{what}: {}",
                problem.detail
            );
        }
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what} was accepted"),
    }
}
