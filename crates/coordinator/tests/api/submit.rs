//! Submitting: one job, the same one again, many at once.

use std::collections::HashSet;

use domain::{Digest, JobId};
use futures_util::future::join_all;
use protocol::jobs::{BatchItem, BatchSubmitted, JobList, Submitted};
use protocol::limits::BATCH_JOBS_MAX;
use serde_json::json;

use crate::agent::info;
use crate::wire::Reply;
use crate::world::{World, spec};

async fn n_jobs(world: &World) -> usize {
    let list: JobList = world.say("GET", "/v1/jobs?limit=1000").send().await.json();
    list.items.len()
}

async fn with_key(world: &World, path: &str, key: &str, body: &str) -> Reply {
    world
        .say("POST", path)
        .header("idempotency-key", key)
        .body(body.to_owned())
        .send()
        .await
}

fn id(reply: &Reply) -> JobId {
    reply.json::<Submitted>().id
}

fn ids(reply: &Reply) -> Vec<JobId> {
    let id = |item| match item {
        BatchItem::Submitted(submitted) => submitted.id,
        BatchItem::Refused(problem) => panic!("{problem}"),
    };
    reply.json::<BatchSubmitted>().items.into_iter().map(id).collect()
}

#[tokio::test]
async fn json_and_toml_say_the_same_thing() {
    let world = World::start().await;
    let json = world
        .say("POST", "/v1/jobs")
        .body(r#"{"command": ["make", "test"], "timeout": "90s"}"#);
    let toml = world
        .say("POST", "/v1/jobs")
        .header("content-type", "application/toml; charset=utf-8")
        .body("command = [\"make\", \"test\"]\ntimeout = \"90s\"\n");
    let (json, toml) = (json.send().await, toml.send().await);
    assert_eq!((json.status.as_u16(), toml.status.as_u16()), (201, 201));
    let (json_id, toml_id) = (id(&json), id(&toml));
    assert_eq!(json.header("location"), format!("/v1/jobs/{json_id}"));
    let (json, toml) = (world.job(&json_id).await, world.job(&toml_id).await);
    assert_eq!(json.spec, toml.spec);
    assert_eq!(json.spec_digest, toml.spec_digest);
}

#[tokio::test]
async fn a_job_that_no_agent_can_run_says_so_at_once() {
    let world = World::start().await;
    let warnings = async |body: &str| {
        let reply = world.say("POST", "/v1/jobs").body(body.to_owned()).send().await;
        reply.json::<Submitted>().warnings
    };
    let linux = r#"{"command": ["true"], "requires": ["os = linux"]}"#;
    let macos = r#"{"command": ["true"], "requires": ["os = macos"]}"#;
    let large = r#"{"command": ["true"], "limits": {"cpus": 64}}"#;
    assert_eq!(
        warnings(linux).await,
        ["no agent has enrolled yet; the job waits for one"]
    );
    world.agent("forge").await;
    assert_eq!(warnings(linux).await, [] as [&str; 0]);
    for impossible in [macos, large] {
        let said = "none of the 1 known agents can run it; see why with `job why`";
        assert_eq!(warnings(impossible).await, [said]);
    }
}

#[tokio::test]
async fn the_same_key_gives_the_same_job_and_another_body_is_refused() {
    let world = World::start().await;
    let first = with_key(&world, "/v1/jobs", "k1", r#"{"command": ["true"]}"#).await;
    // Written in another way, and still the same spec.
    let again = with_key(
        &world,
        "/v1/jobs",
        "k1",
        r#"{ "command" : ["true"], "priority": 0 }"#,
    )
    .await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(id(&first), id(&again));
    assert_eq!(
        (
            first.header("idempotent-replayed"),
            again.header("idempotent-replayed")
        ),
        ("", "true")
    );
    let other = with_key(&world, "/v1/jobs", "k1", r#"{"command": ["false"]}"#).await;
    assert_eq!(other.problem().code, "idempotency_mismatch");
    let rerun = with_key(&world, &format!("/v1/jobs/{}/rerun", id(&first)), "k2", "").await;
    let rerun_again = with_key(&world, &format!("/v1/jobs/{}/rerun", id(&first)), "k2", "").await;
    assert_eq!(id(&rerun), id(&rerun_again));
    assert_ne!(id(&rerun), id(&first));
    assert_eq!(n_jobs(&world).await, 2);
}

#[tokio::test]
async fn requests_with_one_key_at_the_same_moment_make_one_job() {
    let world = World::start().await;
    let asks = (0..20).map(|_| with_key(&world, "/v1/jobs", "k", r#"{"command": ["true"]}"#));
    let replies = join_all(asks).await;
    let ids: HashSet<JobId> = replies.iter().map(id).collect();
    assert_eq!(ids.len(), 1);
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!((made, n_jobs(&world).await), (1, 1));
}

#[tokio::test]
async fn fifty_submits_at_once_make_fifty_jobs() {
    let world = World::start().await;
    let made: HashSet<JobId> = join_all((0..50).map(|_| world.submit()))
        .await
        .into_iter()
        .collect();
    assert_eq!((made.len(), n_jobs(&world).await), (50, 50));
}

#[tokio::test]
async fn one_bad_item_of_a_batch_refuses_itself_alone() {
    let world = World::start().await;
    let missing = Digest::of(b"nobody has it");
    let body = json!({"jobs": [
        {"command": ["a"]},
        {"command": ["b"], "priority": 101},
        {"command": ["c"], "inputs": {"x": {"digest": missing}}},
        {"command": ["d"]},
    ]});
    let reply = world
        .say("POST", "/v1/jobs/batch")
        .body(body.to_string())
        .send()
        .await;
    assert_eq!(reply.status, 200);
    let items = reply.json::<BatchSubmitted>().items;
    let codes: Vec<&str> = items
        .iter()
        .map(|item| match item {
            BatchItem::Submitted(_) => "",
            BatchItem::Refused(problem) => &problem.code,
        })
        .collect();
    assert_eq!(codes, ["", "spec_invalid", "input_missing", ""]);
    let BatchItem::Submitted(last) = &items[3] else {
        panic!()
    };
    assert_eq!(world.job(&last.id).await.name, "d");
    assert_eq!(n_jobs(&world).await, 2);
}

#[tokio::test]
async fn a_batch_can_be_repeated_and_keeps_its_order() {
    let world = World::start().await;
    let jobs: Vec<_> = (0..100)
        .map(|n| json!({"command": [format!("job-{n}")]}))
        .collect();
    let body = json!({ "jobs": jobs }).to_string();
    let first = with_key(&world, "/v1/jobs/batch", "sweep", &body).await;
    let again = with_key(&world, "/v1/jobs/batch", "sweep", &body).await;
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert!(ids(&first).is_sorted());
    assert_eq!(world.job(&ids(&first)[41]).await.name, "job-41");
    assert_eq!(n_jobs(&world).await, 100);
    let agent = world
        .agent_of(protocol::agents::AgentInfo {
            slots: 100,
            ..info("forge")
        })
        .await;
    let claimed: Vec<JobId> = agent
        .claim(100, 0)
        .await
        .leases
        .into_iter()
        .map(|lease| lease.job)
        .collect();
    assert_eq!(claimed, ids(&first));
}

#[tokio::test]
async fn a_batch_over_the_limit_makes_no_job() {
    let world = World::start().await;
    let body = json!({ "jobs": vec![json!({"command": ["true"]}); BATCH_JOBS_MAX + 1] });
    let reply = world
        .say("POST", "/v1/jobs/batch")
        .body(body.to_string())
        .send()
        .await;
    assert_eq!(reply.problem().code, "batch_size");
    assert_eq!(n_jobs(&world).await, 0);
}

#[tokio::test]
async fn a_job_with_its_inputs_in_the_vault_is_accepted() {
    let world = World::start().await;
    let digest = Digest::of(b"content");
    world
        .say("PUT", &format!("/v1/blobs/{digest}"))
        .body("content")
        .send()
        .await;
    let id = world
        .submit_spec(&spec(&format!(
            r#"{{"command": ["cat", "a"], "inputs": {{"a": {{"digest": "{digest}"}}}}}}"#
        )))
        .await;
    assert_eq!(world.job(&id).await.state.as_str(), "queued");
}

#[tokio::test]
async fn a_rerun_is_the_same_spec_without_its_time() {
    let world = World::start().await;
    let waiting = r#"{"command": ["true"], "name": "nightly", "not_before": "2099-01-01T00:00:00Z"}"#;
    let id = world.submit_spec(&spec(waiting)).await;
    let reply = world.say("POST", &format!("/v1/jobs/{id}/rerun")).send().await;
    assert_eq!(reply.status, 201);
    let rerun = world.job(&self::id(&reply)).await;
    assert_ne!(rerun.id, id);
    assert_eq!(
        rerun.spec,
        Some(Box::new(spec(r#"{"command": ["true"], "name": "nightly"}"#)))
    );
}
