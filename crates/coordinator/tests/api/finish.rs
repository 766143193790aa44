//! Finishes: one result for each, and one bad report harms no other.

use bytes::Bytes;
use domain::job::RunEnd;
use domain::{Cause, Digest};
use protocol::LeaseToken;
use protocol::agents::AgentInfo;
use protocol::client::Options;
use protocol::jobs::Artifact;
use protocol::leases::{Finish, FinishReply, FinishRequest, FinishResult};
use protocol::limits::{FINISH_LOG_BYTES_MAX, INLINE_LOG_BYTES_MAX};

use crate::agent::{Agent, artifact, finish, framed, info, refusal, refusals, success};
use crate::world::{World, spec};

async fn upload(world: &World, content: &'static [u8]) {
    let path = format!("/v1/blobs/{}", Digest::of(content));
    let reply = world.say("PUT", &path).body(content).send().await;
    assert!(reply.status.is_success(), "{}", reply.text());
}

async fn code(agent: &Agent, finish: Finish) -> String {
    refusal(&agent.finish(vec![finish]).await[0]).to_owned()
}

#[tokio::test]
async fn a_finish_shows_how_the_run_ended_and_repeating_it_changes_nothing() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    let failed = finish(&lease, RunEnd::Failed(Cause::Exit { code: 3 }), framed(b"no\n"));
    assert_eq!(agent.finish(vec![failed.clone()]).await, [FinishResult::Done]);
    let job = world.job(&id).await;
    assert_eq!(
        (job.state.as_str(), job.cause_text.as_deref()),
        ("failed", Some("exit status 3"))
    );
    assert_eq!((job.charged, job.attempts.len()), (1, 1));
    assert_eq!(job.attempts[0].fingerprint, agent.info.fingerprint);
    assert_eq!(
        agent.finish(vec![failed.clone(), failed]).await,
        [FinishResult::Done, FinishResult::Done]
    );
    assert_eq!(world.job(&id).await, job);
    assert_eq!(refusals(&world).await, []);
}

#[tokio::test]
async fn a_failure_of_the_machinery_is_tried_again_and_its_attempt_is_shown() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world
        .submit_spec(&spec(r#"{"command": ["true"], "max_attempts": 2}"#))
        .await;
    let lease = agent.one().await;
    agent
        .finish(vec![finish(
            &lease,
            RunEnd::Failed(Cause::Disk),
            framed(b"first\n"),
        )])
        .await;
    let again = agent.one().await;
    assert_eq!((&again.job, again.attempt), (&id, 2));
    assert_ne!(again.token, lease.token);
    agent.finish(vec![success(&again)]).await;
    let job = world.job(&id).await;
    let outcomes: Vec<&str> = job
        .attempts
        .iter()
        .map(|attempt| attempt.outcome.as_str())
        .collect();
    assert_eq!(
        (job.state.as_str(), outcomes),
        ("succeeded", vec!["failed", "succeeded"])
    );
    let first = world
        .say("GET", &format!("/v1/jobs/{id}/attempts/1/log"))
        .send()
        .await;
    assert_eq!(first.text(), "first\n");
    // A late repetition by the first attempt changes nothing, and is answered as the first time.
    assert_eq!(code(&agent, success(&lease)).await, "done");
    assert_eq!(world.job(&id).await.attempts.len(), 2);
}

#[tokio::test]
async fn one_stale_finish_of_a_batch_is_refused_alone_and_put_on_record() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    for _ in 0..3 {
        world.submit().await;
    }
    let leases = agent.claim(3, 0).await.leases;
    let mut batch: Vec<Finish> = leases.iter().map(success).collect();
    batch[1].token = LeaseToken::from(format!("hfl_7_{}", "a".repeat(64)));
    let results = agent.finish(batch).await;
    let codes: Vec<&str> = results.iter().map(refusal).collect();
    assert_eq!(codes, ["done", "lease_lost", "done"]);
    assert_eq!(
        refusals(&world).await,
        [(leases[1].job.clone(), "finish".to_owned())]
    );
    assert_eq!(world.job(&leases[1].job).await.state.as_str(), "running");
}

#[tokio::test]
async fn artifacts_become_visible_with_the_finish_once_their_blobs_are_there() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    let over = Finish {
        artifacts: vec![artifact("out/a.txt", b"content")],
        ..success(&lease)
    };
    assert_eq!(code(&agent, over.clone()).await, "blob_missing");
    // What is missing can be supplied: no lease was lost.
    assert_eq!(refusals(&world).await, []);
    upload(&world, b"content").await;
    let wrong_size = Artifact {
        size: 8,
        ..artifact("out/a.txt", b"content")
    };
    assert_eq!(
        code(
            &agent,
            Finish {
                artifacts: vec![wrong_size],
                ..over.clone()
            }
        )
        .await,
        "blob_missing"
    );
    let list = || {
        world
            .say("GET", &format!("/v1/jobs/{id}/attempts/1/artifacts"))
            .send()
    };
    assert_eq!(list().await.value(), serde_json::json!({"items": []}));
    assert_eq!(code(&agent, over).await, "done");
    assert_eq!(list().await.value()["items"][0]["path"], "out/a.txt");
    assert_eq!(world.job(&id).await.attempts[0].artifacts, 1);
}

#[tokio::test]
async fn a_manifest_names_files_beneath_the_work_directory_only() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    upload(&world, b"x").await;
    for path in ["/etc/passwd", "../up", "a//b", "", "a/./b"] {
        let over = Finish {
            artifacts: vec![artifact(path, b"x")],
            ..success(&lease)
        };
        assert_eq!(code(&agent, over).await, "bad_artifact", "{path}");
    }
}

#[tokio::test]
async fn what_is_too_large_for_the_store_refuses_its_own_finish_alone() {
    let world = World::start().await;
    let agent = world
        .agent_of(AgentInfo {
            slots: 8,
            ..info("forge")
        })
        .await;
    for _ in 0..4 {
        world.submit().await;
    }
    upload(&world, b"x").await;
    let leases = agent.claim(4, 0).await.leases;
    let log = finish(
        &leases[0],
        RunEnd::Succeeded,
        framed(&vec![b'x'; INLINE_LOG_BYTES_MAX]),
    );
    let endless = Cause::AgentFault {
        why: "é".repeat(400_000),
    };
    let wordy = finish(&leases[1], RunEnd::Failed(endless), Bytes::new());
    let name = "n".repeat(200);
    let files = (0..9_000)
        .map(|n| artifact(&format!("{name}-{n}"), b"x"))
        .collect();
    let listing = Finish {
        artifacts: files,
        ..success(&leases[2])
    };
    let results = agent.finish(vec![log, wordy, listing, success(&leases[3])]).await;
    let codes: Vec<&str> = results.iter().map(refusal).collect();
    assert_eq!(
        codes,
        ["inline_log_too_large", "done", "manifest_too_large", "done"]
    );
    let words = world.job(&leases[1].job).await.cause_text.unwrap();
    assert_eq!(words.chars().filter(|c| *c == 'é').count(), 1_000);
}

#[tokio::test]
async fn logs_that_come_along_have_a_limit_together() {
    let world = World::start().await;
    let agent = world
        .agent_of(AgentInfo {
            slots: 100,
            ..info("forge")
        })
        .await;
    for _ in 0..65 {
        world.submit().await;
    }
    let leases = agent.claim(65, 0).await.leases;
    let log = framed(&vec![b'x'; INLINE_LOG_BYTES_MAX - 20]);
    assert!(log.len() * 65 > FINISH_LOG_BYTES_MAX && log.len() <= INLINE_LOG_BYTES_MAX);
    let mut finishes: Vec<Finish> = leases
        .iter()
        .map(|lease| finish(lease, RunEnd::Succeeded, log.clone()))
        .collect();
    let request = FinishRequest {
        finishes: finishes.clone(),
        claim: None,
    };
    let refused = agent
        .client
        .post::<FinishReply>("/v1/leases/finish", &request, Options::default())
        .await;
    assert_eq!(refused.unwrap_err().code(), Some("too_many_log_bytes"));
    finishes.truncate(FINISH_LOG_BYTES_MAX / log.len());
    let results = agent.finish(finishes).await;
    assert!(results.iter().all(|result| *result == FinishResult::Done));
}

#[tokio::test]
async fn a_request_with_too_many_leases_is_refused_as_a_whole() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    let request = FinishRequest {
        finishes: vec![success(&lease); 1_001],
        claim: None,
    };
    let refused = agent
        .client
        .post::<FinishReply>("/v1/leases/finish", &request, Options::default())
        .await;
    assert_eq!(refused.unwrap_err().code(), Some("too_many_leases"));
    let request = FinishRequest {
        finishes: vec![success(&lease); 1_000],
        claim: None,
    };
    let reply: FinishReply = agent
        .client
        .post("/v1/leases/finish", &request, Options::default())
        .await
        .unwrap();
    assert_eq!(reply.results, vec![FinishResult::Done; 1_000]);
}
