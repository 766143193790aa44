//! Leases whose agent went away before it heard of them: given back, unless a later request of it is told of them first.

use std::sync::Arc;

use protocol::leases::{FinishResult, Standing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::agent::{Agent, proof, success};
use crate::fragile::FragileNexus;
use crate::waiting::are_parked;
use crate::world::{JOIN, World};

/// A claim that its agent gives up.
struct GivenUp(TcpStream);

impl GivenUp {
    /// A claim that is parked, the n-th of all.
    async fn parked(world: &World, agent: &Agent, n: usize) -> Self {
        let body = serde_json::to_string(&agent.wish(1, 30_000)).unwrap();
        let head = format!(
            "POST /v1/claims HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {JOIN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            world.address,
            body.len()
        );
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        are_parked(world, "claims", n).await;
        Self(stream)
    }

    /// Goes away, and waits until the coordinator knows it.
    async fn goes_away(mut self) {
        self.0.shutdown().await.unwrap();
        let mut reply = Vec::new();
        self.0.read_to_end(&mut reply).await.unwrap();
        assert!(reply.is_empty(), "{}", String::from_utf8_lossy(&reply));
    }
}

#[tokio::test]
async fn a_lease_that_is_being_given_back_is_told_to_nobody() {
    let nexus = Arc::new(FragileNexus::new());
    let world = World::over(Arc::clone(&nexus) as _).await;
    let agent = world.agent("forge").await;
    let claim = GivenUp::parked(&world, &agent, 1).await;
    nexus.hold("commit job/");
    let id = world.submit().await;
    nexus.holds(1).await;
    claim.goes_away().await;
    nexus.let_go(1);
    // The claim is committed, and the commit that gives the lease back stands still.
    nexus.holds(2).await;
    assert_eq!(agent.claim(1, 0).await.leases, []);
    assert_eq!(agent.renew(&[]).await.unlisted, []);
    nexus.let_go(usize::MAX);
    let lease = agent.one().await;
    assert_eq!((&lease.job, lease.attempt), (&id, 2));
    assert_eq!(agent.finish(vec![success(&lease)]).await, [FinishResult::Done]);
    let job = world.job(&id).await;
    let outcomes: Vec<&str> = job.attempts.iter().map(|one| one.outcome.as_str()).collect();
    assert_eq!(outcomes, ["given_back", "succeeded"]);
}

#[tokio::test]
async fn a_lease_that_a_later_request_was_told_of_is_not_given_back() {
    let nexus = Arc::new(FragileNexus::new());
    let world = World::over(Arc::clone(&nexus) as _).await;
    let agent = world.agent("forge").await;
    let claim = GivenUp::parked(&world, &agent, 1).await;
    let behind = world.agent("behind").await;
    let waits = GivenUp::parked(&world, &behind, 2).await;
    nexus.hold("commit job/");
    let id = world.submit().await;
    nexus.holds(1).await;
    claim.goes_away().await;
    // The claim is committed, and the pass looks whether there is more for the other agent.
    nexus.hold("heads lane");
    nexus.holds(1).await;
    let lease = agent.one().await;
    assert_eq!((&lease.job, lease.attempt), (&id, 1));
    nexus.let_go(usize::MAX);
    are_parked(&world, "claims", 1).await;
    waits.goes_away().await;
    // A pass later nothing of the first one is under way any more.
    let other = world.submit().await;
    assert_eq!(world.agent("other").await.one().await.job, other);
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
    assert_eq!(agent.finish(vec![success(&lease)]).await, [FinishResult::Done]);
    assert_eq!(world.job(&id).await.attempt, 1);
}
