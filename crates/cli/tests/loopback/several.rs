//! Several coordinators: a command gets through as long as one of them answers, and a job that all have lost is not lost.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::process::Output;
use std::time::{Duration, Instant};

use axum::Router;
use protocol::frame::Stream;
use serde_json::json;

use crate::program::{beside, hiveforge, output, stderr};
use crate::script::{Connection, Coordinator, END, JOB, Script, Then, events, job, whole};

/// How long a job of which everything is known may be followed on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// An address at which nobody listens.
fn gone() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn views() -> Vec<serde_json::Value> {
    vec![
        job("running", 1, json!({})),
        job("succeeded", 1, json!({ "cause": null })),
    ]
}

/// Runs a job with a coordinator that is gone, one that takes connections and is silent, and the one of the script.
async fn among_others(router: Router, mut options: Vec<String>) -> Output {
    // The kernel takes the connections of a process that does not look at them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let others = [gone(), silent.local_addr().unwrap()].map(|address| format!("http://{address}"));
    let run = move |address: SocketAddr| {
        let others = others.join(",");
        let alive = format!("http://{address}");
        options.extend(["--coordinator", &others, "--coordinator", &alive, "--", "true"].map(str::to_owned));
        let arguments: Vec<&str> = options.iter().map(String::as_str).collect();
        hiveforge(&arguments)
            .env("HIVEFORGE_TOKEN", "hft_test")
            .output()
            .unwrap()
    };
    let output = beside(router, run).await;
    drop(silent);
    output
}

#[tokio::test]
async fn a_job_is_followed_to_its_end_though_most_coordinators_do_not_answer() {
    let writes: [(Stream, &[u8]); 2] = [(Stream::Stdout, b"one\n"), (Stream::Stdout, b"two\n")];
    // Which one is asked first is up to chance.
    for _ in 0..4 {
        let parts = events(&writes);
        let broken = Connection {
            bytes: parts[0].clone(),
            then: Then::Cut,
        };
        let rest = Connection {
            bytes: [parts[1].clone(), END.to_vec()].concat(),
            then: Then::Close,
        };
        let coordinator = Coordinator::new(Script {
            views: views(),
            connections: [broken, rest].into(),
            ..Script::default()
        });
        let begun = Instant::now();
        let output = among_others(coordinator.router(), vec!["run".to_owned()]).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(output.stdout, b"one\ntwo\n");
        assert_eq!(stderr(&output), format!("hiveforge: job {JOB} queued\n"));
        assert_eq!(coordinator.seen().keys.len(), 1);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_job_that_the_coordinators_have_lost_is_submitted_again_under_its_key() {
    let coordinator = Coordinator::new(Script {
        views: views(),
        connections: [whole(&[(Stream::Stdout, b"out\n")])].into(),
        lost: 2,
        ..Script::default()
    });
    let output = output(coordinator.router(), &["run", "--", "true"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(output.stdout, b"out\n");
    let again = format!("hiveforge: the coordinators have lost {JOB}: submitted again as {JOB}\n");
    assert_eq!(
        stderr(&output),
        format!("hiveforge: job {JOB} queued\n{again}{again}")
    );
    let seen = coordinator.seen();
    assert_eq!(seen.keys.len(), 3);
    assert!(seen.keys.iter().all(|key| *key == seen.keys[0]));
    assert!(seen.bodies.iter().all(|body| *body == seen.bodies[0]));
}

#[tokio::test]
async fn a_job_that_is_lost_again_and_again_is_given_up() {
    let coordinator = Coordinator::new(Script {
        views: views(),
        lost: 100,
        ..Script::default()
    });
    let output = output(coordinator.router(), &["run", "--", "true"]).await;
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    assert_eq!(coordinator.seen().keys.len(), 4);
}

#[test]
fn what_is_no_url_is_named_by_every_command() {
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "t").unwrap();
    let token = token.display().to_string();
    let urls = "http://127.0.0.1:1,forge";
    for arguments in [
        &["job", "list", "--coordinator", urls][..],
        &[
            "run",
            "--coordinator",
            "http://127.0.0.1:1",
            "--coordinator",
            "forge",
            "--",
            "true",
        ],
        &["agent", "--join-token-file", &token, "--coordinator", urls],
    ] {
        let output = hiveforge(arguments)
            .env("HIVEFORGE_TOKEN", "t")
            .env("HOME", home.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
        assert!(
            stderr(&output).contains("`forge` is not the URL of a coordinator"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn an_agent_finds_its_coordinators_in_the_environment() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "t").unwrap();
    let token = token.display().to_string();
    let urls = format!("http://{},http://{}", gone(), listener.local_addr().unwrap());
    let mut agent = hiveforge(&["agent", "--join-token-file", &token])
        .env("HIVEFORGE_COORDINATOR", urls)
        .env("HOME", home.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    let mut head = [0; 4];
    connection.read_exact(&mut head).unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(matches!(&head, b"POST" | b"GET "), "{head:?}");
}
