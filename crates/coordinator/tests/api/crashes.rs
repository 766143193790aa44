//! A crash of any one actor: it is restarted, running jobs go on, and the service with them.

use std::sync::Arc;

use protocol::leases::{ClaimRequest, FinishResult, Standing};

use crate::agent::{held, proof, success};
use crate::fragile::FragileNexus;
use crate::world::{World, eventually};

/// Makes `actor` crash at its next `call`, and sees a job through that was running meanwhile and one that comes after.
async fn check(actor: &str, call: &'static str) {
    let nexus = Arc::new(FragileNexus::new());
    let world = World::over(Arc::clone(&nexus) as _).await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    let listing = |slots| ClaimRequest {
        held: vec![held(&lease)],
        ..agent.wish(slots, 1_000)
    };
    nexus.panic_at(call);
    let path = format!("coordinator/{actor}");
    eventually(&format!("{actor} is restarted"), || async {
        // Both may be what crashes the actor, and what they wait for is lost with it.
        drop(
            world
                .say("POST", "/v1/jobs")
                .body(r#"{"command": ["true"]}"#)
                .send()
                .await,
        );
        drop(agent.ask(&listing(0)).await);
        let info = world.tree.directory().find(&path);
        info.filter(|info| info.restarts == 1).map(drop)
    })
    .await;
    let restarts: u64 = world
        .tree
        .directory()
        .list()
        .iter()
        .map(|actor| actor.restarts)
        .sum();
    assert_eq!(restarts, 1, "nobody else is restarted");
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
    assert_eq!(agent.finish(vec![success(&lease)]).await, [FinishResult::Done]);
    let next = eventually("work goes on", || async {
        drop(
            world
                .say("POST", "/v1/jobs")
                .body(r#"{"command": ["true"]}"#)
                .send()
                .await,
        );
        agent.ask(&listing(1)).await.ok()?.leases.pop()
    });
    assert_eq!(
        agent.finish(vec![success(&next.await)]).await,
        [FinishResult::Done]
    );
}

#[tokio::test]
async fn a_crash_of_intake_costs_the_requests_in_its_hands_and_nothing_else() {
    check("intake", "commit spec/").await;
}

#[tokio::test]
async fn a_crash_of_dispatch_costs_a_poll() {
    check("dispatch", "heads lane").await;
}

#[tokio::test]
async fn a_crash_of_the_reaper_costs_a_pass() {
    check("reaper", "range held").await;
}

#[tokio::test]
async fn a_crash_of_the_timekeeper_costs_a_pass() {
    check("timekeeper", "range timers").await;
}

#[tokio::test]
async fn a_crash_of_followups_costs_a_pass() {
    check("followups", "range followups").await;
}

#[tokio::test]
async fn what_dispatch_had_taken_when_it_crashed_comes_back() {
    let nexus = Arc::new(FragileNexus::new());
    let world = World::over(Arc::clone(&nexus) as _).await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    nexus.panic_at("take");
    let refused = agent.ask(&agent.wish(1, 30_000)).await.unwrap_err();
    assert_eq!(refused.code(), Some("restarting"));
    assert!(refused.is_transient());
    // The hold ends after a few seconds, and the reaper returns the job to its lane.
    let mut lease = agent.claim(1, 20_000).await.leases;
    assert_eq!(lease.pop().unwrap().job, id);
}

#[tokio::test]
async fn a_submit_that_was_lost_in_a_crash_is_repeated_with_its_key() {
    let nexus = Arc::new(FragileNexus::new());
    let world = World::over(Arc::clone(&nexus) as _).await;
    let submit = || {
        let ask = world.say("POST", "/v1/jobs").header("idempotency-key", "k");
        ask.body(r#"{"command": ["true"]}"#).send()
    };
    nexus.panic_at("commit idempotency/");
    let lost = submit().await;
    assert_eq!(
        (lost.status.as_u16(), lost.problem().code.as_str()),
        (503, "restarting")
    );
    let reply = eventually("intake is back", || async {
        let reply = submit().await;
        (reply.status != 503).then_some(reply)
    });
    assert_eq!(reply.await.status, 201);
}
