//! Agents that leave: told to drain, and giving back what they have not started.

use std::sync::Arc;
use std::time::Duration;

use protocol::agents::{AgentList, AgentState, Enrolled};
use protocol::client::Options;
use tokio::time::Instant;

use crate::agent::{proof, refusals, success};
use crate::fragile::FragileNexus;
use crate::waiting::are_parked;
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
        are_parked(&world, "claims", 1).await;
        drain(&world, "forge", "drain").await
    };
    let (reply, _) = tokio::join!(agent.claim(1, 30_000), order);
    assert!(reply.draining);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_job_submitted_after_the_drain_is_not_given_to_a_claim_that_was_parked_before() {
    // Not even if no hint of the drain comes: one may always be late.
    let world = World::over(Arc::new(FragileNexus::silent())).await;
    let agent = world.agent("forge").await;
    let order = async {
        are_parked(&world, "claims", 1).await;
        drain(&world, "forge", "drain").await;
        world.submit().await
    };
    let (reply, id) = tokio::join!(agent.claim(1, 20_000), order);
    assert_eq!((reply.leases.len(), reply.draining), (0, true));
    assert_eq!(world.job(&id).await.state.as_str(), "queued");
    let other = world.agent("other").await;
    assert_eq!(other.one().await.job, id);
}

#[tokio::test]
async fn a_job_that_was_taken_for_a_draining_agent_goes_to_another_and_keeps_no_answer_waiting() {
    let nexus = Arc::new(FragileNexus::silent());
    let world = World::over(Arc::clone(&nexus) as _).await;
    let (drained, other) = (world.agent("forge").await, world.agent("other").await);
    let order = async {
        are_parked(&world, "claims", 1).await;
        drain(&world, "forge", "drain").await;
        let behind = async {
            are_parked(&world, "claims", 2).await;
            let id = world.submit().await;
            // The one that puts the job back included.
            nexus.hold("commit ");
            nexus.holds(1).await;
            id
        };
        tokio::join!(other.claim(1, 20_000), async {
            let id = behind.await;
            are_parked(&world, "claims", 1).await;
            nexus.let_go(usize::MAX);
            id
        })
    };
    let (reply, (served, id)) = tokio::join!(drained.claim(1, 20_000), order);
    assert_eq!((reply.leases.len(), reply.draining), (0, true));
    assert_eq!(served.leases[0].job, id);
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
        are_parked(&world, "requests", 1).await;
        world.say("POST", &format!("/v1/jobs/{id}/cancel")).send().await
    };
    let (news, _) = tokio::join!(parked(), cancel);
    assert!(news.news && !news.draining);
    let order = async {
        are_parked(&world, "requests", 1).await;
        drain(&world, "forge", "drain").await
    };
    let (news, _) = tokio::join!(parked(), order);
    assert!(news.news && news.draining);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
