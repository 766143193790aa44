//! The composition root: what is refused at the start, and what a new process finds of the old one.
//!
//! Over the embedded nexus in a directory of its own, as a user would start it.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, and the lint knows only functions marked as such"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use domain::job::{Evidence, Report, RunEnd, Usage};
use domain::{Digest, JobSpec, Resources, Span};
use hiveforge_supervisors_coordinator::{
    ADMIN_TOKEN_FILE, Config, JOIN_TOKEN_FILE, NexusConfig, Running, StartError, start,
};
use protocol::Problem;
use protocol::agents::{AgentInfo, Enrolled};
use protocol::client::{Client, ClientError, Options};
use protocol::jobs::{JobList, JobView, Submitted};
use protocol::leases::{
    ClaimReply, ClaimRequest, Finish, FinishReply, FinishRequest, FinishResult, Lease, Proof, RenewReply,
    RenewRequest, Standing,
};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

fn config(data: &Path) -> Config {
    Config::alone(
        data.to_owned(),
        "127.0.0.1:0".parse().unwrap(),
        Default::default(),
    )
}

fn client(running: &Running, data: &Path, token_file: &str) -> Client {
    let token = fs::read_to_string(data.join(token_file)).unwrap();
    Client::new([format!("http://{}", running.address)], token.trim()).unwrap()
}

fn why(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(source) = inner {
        text = format!("{text}: {source}");
        inner = source.source();
    }
    text
}

async fn refusal(config: Config) -> StartError {
    start(config).await.err().unwrap()
}

async fn stop(running: Running) {
    assert_eq!(running.stop(std::future::pending()).await, []);
}

fn agent() -> AgentInfo {
    AgentInfo {
        id: "01k2b3c4d5e6f7g8h9j0000001".parse().unwrap(),
        name: "forge".parse().unwrap(),
        fingerprint: Digest::of(b"forge"),
        labels: [].into(),
        capacity: Resources {
            cpu_millis: 1_000,
            memory_bytes: 1 << 30,
        },
        slots: 1,
        executor: "process".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

fn claim(agent: &AgentInfo) -> ClaimRequest {
    ClaimRequest {
        agent: agent.id.clone(),
        slots: 1,
        ahead: None,
        free: agent.capacity,
        held: Vec::new(),
        wait_ms: 5_000,
        enrol: None,
    }
}

#[tokio::test]
async fn one_nexus_file_has_one_coordinator_and_the_second_hears_why_it_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let running = start(config(data.path())).await.unwrap();
    let refused = refusal(config(data.path())).await;
    let said = why(&refused);
    assert!(matches!(refused, StartError::Nexus(_)), "{said}");
    assert!(
        said.starts_with("cannot open the nexus: open ") && said.contains("in use by another process"),
        "{said}"
    );
    stop(running).await;
    stop(start(config(data.path())).await.unwrap()).await;
}

#[tokio::test]
async fn a_token_that_others_can_read_keeps_the_coordinator_from_starting() {
    let data = tempfile::tempdir().unwrap();
    stop(start(config(data.path())).await.unwrap()).await;
    let token = data.path().join(ADMIN_TOKEN_FILE);
    fs::set_permissions(&token, Permissions::from_mode(0o640)).unwrap();
    let said = why(&refusal(config(data.path())).await);
    assert!(
        said.contains("can be read by others") && said.contains("chmod 600"),
        "{said}"
    );
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    stop(start(config(data.path())).await.unwrap()).await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let said = why(&refusal(Config {
        listen,
        ..config(data.path())
    })
    .await);
    assert!(
        said.starts_with(&format!("cannot listen on {listen}: ")),
        "{said}"
    );
    // What was opened before is let go of.
    stop(start(config(data.path())).await.unwrap()).await;
}

#[tokio::test]
async fn the_data_directory_is_made_for_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("a/b");
    stop(start(config(&data)).await.unwrap()).await;
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
}

async fn post<T: DeserializeOwned>(client: &Client, path: &str, body: &(impl Serialize + Sync)) -> T {
    client.post(path, body, Options::default()).await.unwrap()
}

/// The finish of a run that said nothing and went well.
fn success(lease: &Lease) -> FinishRequest {
    let evidence = Evidence {
        log_bytes: 0,
        log_digest: Digest::of(b""),
        artifacts: 0,
        ran: Span::from_secs(1),
        usage: Usage::default(),
    };
    let over = Finish {
        job: lease.job.clone(),
        token: lease.token.clone(),
        report: Report {
            end: RunEnd::Succeeded,
            evidence: Some(evidence),
        },
        log: None,
        artifacts: Vec::new(),
    };
    FinishRequest {
        finishes: vec![over],
        claim: None,
    }
}

#[tokio::test]
async fn a_restart_keeps_jobs_tokens_keys_and_leases() {
    let data = tempfile::tempdir().unwrap();
    let (agent, spec) = (agent(), JobSpec::command(["true"]));
    let keyed = || Options::default().header("idempotency-key", "nightly");
    let both = |running: &Running| {
        [ADMIN_TOKEN_FILE, JOIN_TOKEN_FILE].map(|file| client(running, data.path(), file))
    };

    let running = start(config(data.path())).await.unwrap();
    let [person, machine] = both(&running);
    let _enrolled: Enrolled = post(&machine, "/v1/agents", &agent).await;
    let made: Submitted = person.post("/v1/jobs", &spec, keyed()).await.unwrap();
    let reply: ClaimReply = post(&machine, "/v1/claims", &claim(&agent)).await;
    let lease = reply.leases.into_iter().next().unwrap();
    stop(running).await;

    // The tokens are the same, the address is not.
    let running = start(config(data.path())).await.unwrap();
    let [person, machine] = both(&running);
    let again: Submitted = person.post("/v1/jobs", &spec, keyed()).await.unwrap();
    assert_eq!(again.id, made.id);
    let proof = Proof {
        job: lease.job.clone(),
        token: lease.token.clone(),
    };
    let renewal = RenewRequest {
        agent: agent.id.clone(),
        leases: vec![proof.into()],
    };
    let renewed: RenewReply = post(&machine, "/v1/leases/renew", &renewal).await;
    assert_eq!(renewed.standings, [Standing::Live]);
    // A claim that lists nothing gets the same lease with the same token: nothing of it was in the process.
    let repeated: ClaimReply = post(&machine, "/v1/claims", &claim(&agent)).await;
    assert_eq!(repeated.leases, std::slice::from_ref(&lease));
    let finished: FinishReply = post(&machine, "/v1/leases/finish", &success(&lease)).await;
    assert_eq!(finished.results, [FinishResult::Done]);
    stop(running).await;

    let running = start(config(data.path())).await.unwrap();
    let [person, _] = both(&running);
    let job: JobView = person
        .get(&format!("/v1/jobs/{}", made.id), Options::default())
        .await
        .unwrap();
    assert_eq!(job.state.as_str(), "succeeded");
    stop(running).await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_agents_that_wait_for_work() {
    let data = tempfile::tempdir().unwrap();
    let running = start(config(data.path())).await.unwrap();
    let machine = client(&running, data.path(), JOIN_TOKEN_FILE);
    let agent = agent();
    let _enrolled: Enrolled = machine
        .post("/v1/agents", &agent, Options::default())
        .await
        .unwrap();
    let parked = ClaimRequest {
        wait_ms: 30_000,
        ..claim(&agent)
    };
    let claim = machine.post::<ClaimReply>("/v1/claims", &parked, Options::default());
    let stop = async {
        until_parked(&machine).await;
        let began = Instant::now();
        stop(running).await;
        began.elapsed()
    };
    let (claim, took) = tokio::join!(claim, stop);
    assert_eq!(claim.unwrap().leases, []);
    assert!(took < Duration::from_secs(4), "{took:?}");
}

/// Looks at the metrics until they count a claim that waits.
async fn until_parked(client: &Client) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let reply = client.stream("/metrics", "*/*", Options::default()).await;
        let metrics = reply.unwrap().bytes().await.unwrap();
        let metrics = String::from_utf8_lossy(&metrics);
        if metrics.contains("hiveforge_claims_parked 1\n") {
            return;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The problem that a coordinator answers with.
async fn problem(client: &Client, path: &str) -> Problem {
    match client.get::<IgnoredAny>(path, Options::default()).await {
        Err(ClientError::Problem(problem)) => *problem,
        other => panic!("{path}: {other:?}"),
    }
}

/// Asks until `/readyz` is answered with a refusal that has these words in it.
async fn until_unready(client: &Client, words: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let problem = problem(client, "/readyz").await;
        assert_eq!((problem.status, problem.code.as_str()), (503, "not_ready"));
        if problem.detail.contains(words) {
            return;
        }
        assert!(Instant::now() < deadline, "{problem:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_vault_that_is_not_the_nexuss_keeps_the_coordinator_from_being_ready() {
    let data = tempfile::tempdir().unwrap();
    stop(start(config(data.path())).await.unwrap()).await;
    let other = data.path().join("other");
    let running = start(Config {
        vault: Some(other.clone()),
        ..config(data.path())
    })
    .await
    .unwrap();
    let person = client(&running, data.path(), ADMIN_TOKEN_FILE);
    for vault in [&other, &data.path().join("vault")] {
        let id = fs::read_to_string(vault.join("id")).unwrap();
        until_unready(&person, id.trim()).await;
    }
    let refused = problem(&person, "/v1/jobs").await;
    assert_eq!(
        (refused.status, refused.retry_after),
        (503, Some(1)),
        "{refused:?}"
    );
    stop(running).await;
    // With the right one all is well.
    let running = start(config(data.path())).await.unwrap();
    let person = client(&running, data.path(), ADMIN_TOKEN_FILE);
    person
        .get::<JobList>("/v1/jobs", Options::default())
        .await
        .unwrap();
    stop(running).await;
}

#[tokio::test]
async fn a_coordinator_starts_without_its_redis_and_tells_everybody_to_come_again() {
    let data = tempfile::tempdir().unwrap();
    // Nobody listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let running = start(Config {
        nexus: NexusConfig::at(format!("redis://{gone}").parse().unwrap()),
        ..config(data.path())
    })
    .await
    .unwrap();
    let person = client(&running, data.path(), ADMIN_TOKEN_FILE);
    let stranger = Client::new([format!("http://{}", running.address)], "nobody's").unwrap();
    until_unready(&person, "does not answer").await;
    for asks in [&person, &stranger] {
        let refused = problem(asks, "/v1/jobs").await;
        assert_eq!((refused.status, refused.code.as_str()), (503, "not_ready"));
        assert_eq!(refused.retry_after, Some(1));
    }
    let alive = person.stream("/livez", "*/*", Options::default()).await.unwrap();
    assert_eq!(alive.bytes().await.unwrap(), "alive\n");
    stop(running).await;
}

#[tokio::test]
async fn tokens_may_come_from_files_of_somebody_else() {
    let data = tempfile::tempdir().unwrap();
    let secrets = tempfile::tempdir().unwrap();
    let files = ["one", "two"].map(|name| secrets.path().join(name));
    fs::write(&files[0], "for-people\n").unwrap();
    fs::write(&files[1], "for-agents\n").unwrap();
    // As a cluster mounts them.
    fs::set_permissions(&files[0], Permissions::from_mode(0o644)).unwrap();
    let given = Config {
        vault: Some(secrets.path().join("vault")),
        admin_token_file: Some(files[0].clone()),
        join_token_file: Some(files[1].clone()),
        ..config(data.path())
    };
    let running = start(given.clone()).await.unwrap();
    let person = Client::new([format!("http://{}", running.address)], "for-people").unwrap();
    person
        .get::<JobList>("/v1/jobs", Options::default())
        .await
        .unwrap();
    assert!(!data.path().join(ADMIN_TOKEN_FILE).exists());
    stop(running).await;
    fs::write(&files[1], " \n").unwrap();
    let said = why(&refusal(given).await);
    assert!(said.contains("two is empty"), "{said}");
}
