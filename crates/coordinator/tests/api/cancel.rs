//! Cancelling: queued at once, running through its agent, ended never.

use domain::JobId;
use domain::job::RunEnd;
use protocol::jobs::{EventList, JobView};
use protocol::leases::{FinishResult, Standing};

use crate::agent::{finish, framed, proof, refusal, success};
use crate::world::World;

async fn cancel(world: &World, id: &JobId, body: &'static str) -> JobView {
    let reply = world
        .say("POST", &format!("/v1/jobs/{id}/cancel"))
        .body(body)
        .send()
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

async fn facts(world: &World, id: &JobId) -> Vec<String> {
    let list: EventList = world
        .say("GET", &format!("/v1/jobs/{id}/events"))
        .send()
        .await
        .json();
    list.items.into_iter().map(|fact| fact.event).collect()
}

#[tokio::test]
async fn a_queued_job_ends_at_once_and_asking_again_changes_nothing() {
    let world = World::start().await;
    let id = world.submit().await;
    let first = cancel(&world, &id, r#"{"reason": "wrong branch"}"#).await;
    let again = cancel(&world, &id, "").await;
    assert_eq!(first, again);
    assert_eq!(first.state.as_str(), "cancelled");
    let request = first.cancel.unwrap();
    assert_eq!(
        (request.by.as_str(), request.reason.as_deref()),
        ("admin", Some("wrong branch"))
    );
    assert_eq!(facts(&world, &id).await, ["submitted", "cancel_requested"]);
    let agent = world.agent("forge").await;
    assert_eq!(agent.claim(1, 0).await.leases, []);
}

#[tokio::test]
async fn a_running_job_ends_when_its_agent_has_killed_it() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    assert_eq!(cancel(&world, &id, "").await.state.as_str(), "running");
    cancel(&world, &id, "").await;
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Cancel]);
    let killed = finish(&lease, RunEnd::Cancelled, framed(b"half way\n"));
    assert_eq!(agent.finish(vec![killed.clone()]).await, [FinishResult::Done]);
    assert_eq!(agent.finish(vec![killed]).await, [FinishResult::Done]);
    assert_eq!(world.job(&id).await.state.as_str(), "cancelled");
    assert_eq!(
        facts(&world, &id).await,
        ["submitted", "claimed", "cancel_requested", "finished"]
    );
}

#[tokio::test]
async fn a_finish_that_comes_first_decides_and_the_request_stays_on_record() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    cancel(&world, &id, "").await;
    agent.finish(vec![success(&lease)]).await;
    assert_eq!(world.job(&id).await.state.as_str(), "succeeded");
    assert_eq!(
        facts(&world, &id).await,
        ["submitted", "claimed", "cancel_requested", "finished"]
    );
    let refused = world.say("POST", &format!("/v1/jobs/{id}/cancel")).send().await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().code.as_str()),
        (409, "job_ended")
    );
}

#[tokio::test]
async fn an_agent_cannot_cancel_what_nobody_asked_to_cancel() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    let result = agent
        .finish(vec![finish(&lease, RunEnd::Cancelled, framed(b""))])
        .await;
    assert_eq!(refusal(&result[0]), "cancel_not_requested");
    assert_eq!(world.job(&id).await.state.as_str(), "running");
}

#[tokio::test]
async fn a_lease_of_a_cancelled_job_says_so_and_giving_it_back_ends_the_job() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    agent.one().await;
    cancel(&world, &id, "").await;
    let lease = agent.one().await;
    assert!(lease.cancel);
    let returned = vec![proof(&lease)];
    agent.release(&returned).await;
    assert_eq!(world.job(&id).await.state.as_str(), "cancelled");
}
