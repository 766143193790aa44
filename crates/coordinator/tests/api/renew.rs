//! Renewals: what is live, what is lost, and what was not listed.

use protocol::LeaseToken;
use protocol::leases::{Proof, Standing};

use crate::agent::{proof, refusals, success};
use crate::world::World;

#[tokio::test]
async fn each_lease_gets_its_standing_in_order() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    for _ in 0..3 {
        world.submit().await;
    }
    let leases = agent.claim(3, 0).await.leases;
    agent.finish(vec![success(&leases[1])]).await;
    world
        .say("POST", &format!("/v1/jobs/{}/cancel", leases[2].job))
        .send()
        .await;
    let proofs: Vec<Proof> = leases.iter().map(proof).collect();
    let reply = agent.renew(&proofs).await;
    assert_eq!(
        reply.standings,
        [Standing::Live, Standing::Lost, Standing::Cancel]
    );
    assert_eq!((reply.unlisted.len(), reply.draining), (0, false));
    assert_eq!(
        refusals(&world).await,
        [(leases[1].job.clone(), "renew".to_owned())]
    );
}

#[tokio::test]
async fn a_forged_token_renews_nothing_and_is_put_on_record() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    world.submit().await;
    let leases = agent.claim(2, 0).await.leases;
    let swapped = Proof {
        job: leases[0].job.clone(),
        token: leases[1].token.clone(),
    };
    let forged = Proof {
        job: leases[1].job.clone(),
        token: LeaseToken::from(format!("hfl_1_{}", "0".repeat(64))),
    };
    let reply = agent.renew(&[swapped, forged]).await;
    assert_eq!(reply.standings, [Standing::Lost, Standing::Lost]);
    let newest_first = [leases[1].job.clone(), leases[0].job.clone()];
    assert_eq!(
        refusals(&world).await,
        newest_first.map(|job| (job, "renew".to_owned()))
    );
    let metrics = world.ask("GET", "/metrics").send().await;
    assert!(
        metrics.text().contains("hiveforge_stale_refused_total 2\n"),
        "{}",
        metrics.text()
    );
    assert_eq!(
        agent.renew(&[proof(&leases[0])]).await.standings,
        [Standing::Live]
    );
}

#[tokio::test]
async fn a_lease_is_good_for_the_agent_that_holds_it_alone() {
    let world = World::start().await;
    let (agent, thief) = (world.agent("forge").await, world.agent("thief").await);
    world.submit().await;
    let lease = agent.one().await;
    assert_eq!(thief.renew(&[proof(&lease)]).await.standings, [Standing::Lost]);
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
}

#[tokio::test]
async fn a_renewal_returns_leases_that_it_did_not_list() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lost = agent.one().await;
    let reply = agent.renew(&[]).await;
    assert_eq!(reply.unlisted, [lost]);
}

#[tokio::test]
async fn a_renewal_says_whether_to_drain() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.say("POST", "/v1/agents/forge/drain").send().await;
    assert!(agent.renew(&[]).await.draining);
}
