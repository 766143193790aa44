//! Waiting for a job to change: ETag, If-None-Match and `Prefer: wait`.

use std::time::Duration;

use domain::JobId;
use protocol::jobs::JobView;
use protocol::leases::ClaimRequest;
use tokio::time::Instant;

use crate::agent::{held, success};
use crate::wire::{Ask, Reply};
use crate::world::{World, eventually};

/// Waits until so many `claims`, or other `requests`, are parked.
pub(crate) async fn are_parked(world: &World, what: &str, n: usize) {
    let line = format!("hiveforge_{what}_parked {n}\n");
    eventually(&line, || async {
        let metrics = world.ask("GET", "/metrics").send().await;
        metrics.text().contains(&line).then_some(())
    })
    .await;
}

fn show(world: &World, id: &JobId) -> Ask {
    world.say("GET", &format!("/v1/jobs/{id}"))
}

fn wait(world: &World, id: &JobId, known: &Reply, seconds: u32) -> Ask {
    show(world, id)
        .header("if-none-match", known.header("etag"))
        .header("prefer", format!("respond-async, wait={seconds}"))
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let world = World::start().await;
    let id = world.submit().await;
    let first = show(&world, &id).send().await;
    assert_eq!(first.status, 200);
    let etag = first.header("etag");
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let again = show(&world, &id).header("if-none-match", etag).send().await;
    assert_eq!(
        (again.status.as_u16(), again.body.len(), again.header("etag")),
        (304, 0, etag)
    );
    let other = show(&world, &id).header("if-none-match", "\"0\"").send().await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn a_waiting_request_wakes_when_the_job_changes() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let queued = show(&world, &id).send().await;
    let began = Instant::now();
    let claim = async {
        are_parked(&world, "requests", 1).await;
        agent.one().await
    };
    let (running, lease) = tokio::join!(wait(&world, &id, &queued, 30).send(), claim);
    assert_eq!(running.json::<JobView>().state.as_str(), "running");
    assert_eq!(running.header("preference-applied"), "wait=30");
    let (ended, _) = tokio::join!(
        wait(&world, &id, &running, 30).send(),
        agent.finish(vec![success(&lease)])
    );
    assert_eq!(ended.json::<JobView>().state.as_str(), "succeeded");
    // By its hint; the look of once a second alone would take longer for the two.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_wait_that_sees_no_change_ends_as_not_modified() {
    let world = World::start().await;
    let id = world.submit().await;
    let known = show(&world, &id).send().await;
    let began = Instant::now();
    let reply = wait(&world, &id, &known, 1).send().await;
    assert_eq!(reply.status, 304);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_wait_without_a_known_version_answers_at_once() {
    let world = World::start().await;
    let id = world.submit().await;
    let reply = show(&world, &id).header("prefer", "wait=30").send().await;
    assert_eq!(reply.status, 200);
    let unknown = world
        .say("GET", "/v1/jobs/default-01k2b3c4d5e6f7g8h9j0kmnpqr")
        .header("prefer", "wait=30");
    assert_eq!(unknown.send().await.problem().code, "job_unknown");
}

#[tokio::test]
async fn a_stopping_coordinator_lets_waiting_requests_go() {
    let world = World::start().await;
    let id = world.submit().await;
    let agent = world.agent("forge").await;
    let lease = agent.one().await;
    let parked = ClaimRequest {
        held: vec![held(&lease)],
        ..agent.wish(1, 30_000)
    };
    let known = show(&world, &id).send().await;
    let stop = async {
        tokio::join!(are_parked(&world, "requests", 1), are_parked(&world, "claims", 1));
        world.coordinator.connections.close(Duration::from_secs(20)).await
    };
    let began = Instant::now();
    let (waiter, claim, cut_off) =
        tokio::join!(wait(&world, &id, &known, 30).send(), agent.ask(&parked), stop);
    assert_eq!(
        (waiter.status.as_u16(), claim.unwrap().leases.len(), cut_off),
        (304, 0, 0)
    );
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The accept loop rests and does not end, which would be a failure that its supervisor repeats.
    assert_eq!(
        world.tree.directory().find("coordinator/edge").unwrap().restarts,
        0
    );
}
