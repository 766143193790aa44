//! Agents that leave: told to drain, and giving back what they have not started.

use std::time::Duration;

use protocol::agents::{AgentList, AgentState, Enrolled};
use protocol::client::Options;
use tokio::time::Instant;

use crate::agent::{proof, refusals, success};
use crate::world::World;

async fn drain(world: &World, name: &str, verb: &str) -> AgentList {
    world
        .say("POST", &format!("/v1/agents/{name}/{verb}"))
        .send()
        .await
        .json()
}

#[tokio::test]
async fn a_draining_agent_is_told_at_once_and_gets_nothing_until_it_resumes() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let told = drain(&world, "forge", "drain").await;
    assert_eq!(told.items[0].state, AgentState::Draining);
    world.submit().await;
    let began = Instant::now();
    let reply = agent.claim(1, 30_000).await;
    assert_eq!((reply.leases.len(), reply.draining), (0, true));
    assert!(began.elapsed() < Duration::from_secs(2));
    // It holds for the name, whichever process bears it.
    let successor = world.agent("forge").await;
    assert!(successor.claim(1, 0).await.draining);
    assert_eq!(
        drain(&world, "forge", "resume").await.items[0].state,
        AgentState::Idle
    );
    assert_eq!(agent.claim(1, 5_000).await.leases.len(), 1);
}

#[tokio::test]
async fn a_parked_claim_hears_that_it_is_to_drain() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let began = Instant::now();
    let order = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drain(&world, "forge", "drain").await
    };
    let (reply, _) = tokio::join!(agent.claim(1, 30_000), order);
    assert!(reply.draining);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_was_given_back_is_queued_again_and_costs_no_attempt() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    let returned = vec![proof(&lease)];
    for _ in 0..2 {
        agent.release(&returned).await;
    }
    let job = world.job(&id).await;
    assert_eq!((job.state.as_str(), job.attempt, job.charged), ("queued", 1, 0));
    assert_eq!(job.attempts[0].outcome, "given_back");
    assert_eq!(agent.one().await.attempt, 2);
    assert_eq!(refusals(&world).await, []);
}

#[tokio::test]
async fn giving_back_a_lost_lease_is_no_error_for_the_others() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    world.submit().await;
    let leases = agent.claim(2, 0).await.leases;
    agent.finish(vec![success(&leases[0])]).await;
    let returned: Vec<_> = leases.iter().map(proof).collect();
    agent.release(&returned).await;
    assert_eq!(world.job(&leases[0].job).await.state.as_str(), "succeeded");
    assert_eq!(world.job(&leases[1].job).await.state.as_str(), "queued");
    assert_eq!(
        refusals(&world).await,
        [(leases[0].job.clone(), "release".to_owned())]
    );
}

#[tokio::test]
async fn a_parked_enrolment_brings_news_of_a_cancel_and_of_the_drain_intent() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    agent.one().await;
    let parked = || async {
        let wait = Options::default().header("prefer", "wait=20");
        agent
            .client
            .post::<Enrolled>("/v1/agents", &agent.info, wait)
            .await
            .unwrap()
    };
    let began = Instant::now();
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.say("POST", &format!("/v1/jobs/{id}/cancel")).send().await
    };
    let (news, _) = tokio::join!(parked(), cancel);
    assert!(news.news && !news.draining);
    let order = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drain(&world, "forge", "drain").await
    };
    let (news, _) = tokio::join!(parked(), order);
    assert!(news.news && news.draining);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
