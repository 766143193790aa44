//! Silent agents lose their leases, agents that are heard of keep them, and nobody loses one to an outage.
//!
//! In real time with a short lease: the socket does not go with paused time. The rules of the reaper are tested in the
//! domain and the ledger's model.

use std::sync::Arc;
use std::time::Duration;

use hiveforge_coordinator::Config;
use nexus::{Clock, MemoryNexus};
use protocol::agents::AgentState;
use protocol::leases::{FinishResult, Standing};
use tokio::time::{Instant, sleep};

use crate::agent::{proof, refusal, refusals, success};
use crate::world::{World, eventually, spec};

const TTL: Duration = Duration::from_millis(1_000);

async fn world() -> (World, Arc<MemoryNexus>) {
    let nexus = Arc::new(MemoryNexus::new(Clock::system()));
    let config = Config { lease_ttl: TTL };
    (World::with(Arc::clone(&nexus) as _, config).await, nexus)
}

async fn state(world: &World, id: &domain::JobId, wanted: &str) {
    eventually(&format!("{id} is {wanted}"), || async {
        (world.job(id).await.state.as_str() == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_job_of_a_silent_agent_is_tried_again_and_then_fails() {
    let (world, _nexus) = world().await;
    let agent = world.agent("silent").await;
    let id = world
        .submit_spec(&spec(r#"{"command": ["true"], "max_attempts": 2}"#))
        .await;
    let first = agent.one().await;
    state(&world, &id, "queued").await;
    let second = agent.one().await;
    assert_eq!((second.attempt, second.ttl_ms), (2, 1_000));
    assert_eq!(agent.renew(&[proof(&first)]).await.standings, [Standing::Lost]);
    assert_eq!(
        refusal(&agent.finish(vec![success(&first)]).await[0]),
        "lease_lost"
    );
    state(&world, &id, "failed").await;
    let job = world.job(&id).await;
    assert_eq!(
        job.cause_text.unwrap(),
        "the agent went silent and its lease was taken"
    );
    assert_eq!((job.charged, job.attempts.len()), (2, 2));
    assert_eq!(refusals(&world).await.len(), 2);
    let metrics = world.ask("GET", "/metrics").send().await;
    assert!(
        metrics.text().contains("hiveforge_leases_taken_total 2\n"),
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn an_agent_that_renews_keeps_its_lease() {
    let (world, _nexus) = world().await;
    let agent = world.agent("faithful").await;
    world.submit().await;
    let lease = agent.one().await;
    let until = Instant::now() + TTL * 4;
    while Instant::now() < until {
        assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
        sleep(TTL / 4).await;
    }
    assert_eq!(agent.finish(vec![success(&lease)]).await, [FinishResult::Done]);
}

#[tokio::test]
async fn an_outage_longer_than_a_lease_takes_no_lease() {
    let (world, nexus) = world().await;
    let agent = world.agent("patient").await;
    world.submit().await;
    let lease = agent.one().await;
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
    nexus.set_available(false);
    // Longer than the gap that a reaper tells from a missed tick.
    sleep(domain::plan::BEAT_GAP_MAX + TTL + Duration::from_millis(500)).await;
    nexus.set_available(true);
    sleep(TTL / 2).await;
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
    assert_eq!(agent.finish(vec![success(&lease)]).await, [FinishResult::Done]);
}

#[tokio::test]
async fn an_agent_that_only_waits_for_work_is_not_lost() {
    let (world, _nexus) = world().await;
    let agent = world.agent("waiting").await;
    // Longer than a lease lives and "last seen" may be old.
    agent.claim(1, 8_000).await;
    let shown = world.say("GET", "/v1/agents/waiting").send().await;
    let shown: protocol::agents::AgentList = shown.json();
    assert_eq!(shown.items[0].state, AgentState::Idle);
}

#[tokio::test]
async fn a_lost_agent_is_shown_as_lost_and_waited_for_by_nobody() {
    let (world, _nexus) = world().await;
    world.agent("gone").await;
    let id = world.submit().await;
    eventually("it is lost", || async {
        let shown: protocol::agents::AgentList = world.say("GET", "/v1/agents/gone").send().await.json();
        (shown.items[0].state == AgentState::Lost).then_some(())
    })
    .await;
    let why: protocol::jobs::WhyView = world
        .say("GET", &format!("/v1/jobs/{id}/why"))
        .send()
        .await
        .json();
    assert_eq!(
        (why.verdict.as_str(), why.agents.len()),
        ("waits: all 1 known agents are lost", 0)
    );
}
