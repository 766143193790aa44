//! A nexus that is away or full: a state to report, never a crash, a lie or a lost lease.

use std::time::Duration;

use bytes::Bytes;
use domain::job::RunEnd;
use protocol::leases::{FinishResult, Standing};

use crate::agent::{finish, framed, proof, success};
use crate::world::{World, eventually};

async fn ready(world: &World, status: u16) {
    eventually(&format!("/readyz answers {status}"), || async {
        (world.ask("GET", "/readyz").send().await.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn while_the_nexus_is_away_everybody_is_told_to_come_again() {
    let (world, nexus) = World::with_nexus().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    ready(&world, 200).await;
    nexus.set_available(false);
    for (method, path, body) in [
        ("GET", "/v1/jobs".to_owned(), ""),
        ("POST", "/v1/jobs".to_owned(), r#"{"command": ["true"]}"#),
        ("GET", format!("/v1/jobs/{id}"), ""),
        ("POST", format!("/v1/jobs/{id}/cancel"), ""),
        ("GET", "/v1/agents".to_owned(), ""),
    ] {
        let reply = world.say(method, &path).body(body).send().await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("retry-after")),
            (503, "1"),
            "{method} {path}"
        );
        assert_eq!(reply.problem().code, "nexus_unavailable");
    }
    // Who may not come in is still told so, and nobody else is.
    assert_eq!(world.ask("GET", "/v1/jobs").send().await.status, 401);
    assert_eq!(
        agent.ask(&agent.wish(1, 0)).await.unwrap_err().code(),
        Some("nexus_unavailable")
    );
    assert_eq!(world.ask("GET", "/livez").send().await.status, 200);
    ready(&world, 503).await;
    let metrics = world.ask("GET", "/metrics").send().await;
    assert!(metrics.text().contains("hiveforge_nexus_up 0\n"));
    nexus.set_available(true);
    ready(&world, 200).await;
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
    assert_eq!(agent.finish(vec![success(&lease)]).await, [FinishResult::Done]);
    let restarts: u64 = world
        .tree
        .directory()
        .list()
        .iter()
        .map(|actor| actor.restarts)
        .sum();
    assert_eq!(restarts, 0, "an outage is no crash");
}

#[tokio::test]
async fn a_parked_claim_outlives_an_outage() {
    let (world, nexus) = World::with_nexus().await;
    let agent = world.agent("forge").await;
    let outage = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        nexus.set_available(false);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        nexus.set_available(true);
        world.submit().await
    };
    let (reply, id) = tokio::join!(agent.claim(1, 30_000), outage);
    assert_eq!(reply.leases[0].job, id);
}

#[tokio::test]
async fn a_full_nexus_takes_no_new_work_and_lets_running_work_end() {
    let (world, nexus) = World::with_nexus().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    nexus.set_full(true);
    let refused = world
        .say("POST", "/v1/jobs")
        .body(r#"{"command": ["true"]}"#)
        .send()
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (507, "1")
    );
    assert_eq!(refused.problem().code, "nexus_full");
    let keyed = world
        .say("POST", "/v1/jobs")
        .header("idempotency-key", "k")
        .body(r#"{"command": ["true"]}"#);
    assert_eq!(keyed.send().await.problem().code, "nexus_full");
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
    let over = finish(&lease, RunEnd::Succeeded, framed(b"done\n"));
    assert_eq!(agent.finish(vec![over]).await, [FinishResult::Done]);
    assert_eq!(world.job(&id).await.state.as_str(), "succeeded");
    nexus.set_full(false);
    let keyed = world
        .say("POST", "/v1/jobs")
        .header("idempotency-key", "k")
        .body(r#"{"command": ["true"]}"#);
    assert_eq!(keyed.send().await.status, 201);
}

#[tokio::test]
async fn an_empty_log_needs_no_room() {
    let (world, nexus) = World::with_nexus().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    nexus.set_full(true);
    let over = finish(&lease, RunEnd::Succeeded, Bytes::new());
    assert_eq!(agent.finish(vec![over]).await, [FinishResult::Done]);
}
