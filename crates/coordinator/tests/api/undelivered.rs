//! Leases whose agent went away before it heard of them: given back, unless a later request of it is told of them first.

use std::sync::Arc;

use domain::JobId;
use nexus::{Clock, MemoryNexus};
use protocol::leases::{FinishResult, Standing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::agent::{Agent, proof, success};
use crate::fragile::FragileNexus;
use crate::waiting::are_parked;
use crate::world::{JOIN, World, eventually};

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

/// Two coordinators over one nexus, an agent whose claim at the first one was committed after it went away, and the
/// commit that gives the lease back, which stands still. The job is returned.
async fn given_up_at_the_first() -> (Arc<FragileNexus>, World, World, Agent, JobId) {
    let shared = Arc::new(MemoryNexus::new(Clock::system()));
    let nexus = Arc::new(FragileNexus::before(Arc::clone(&shared)));
    let first = World::over(Arc::clone(&nexus) as _).await;
    let other = World::over(shared).await;
    let agent = first.agent("forge").await;
    let claim = GivenUp::parked(&first, &agent, 1).await;
    nexus.hold("commit job/");
    let id = other.submit().await;
    nexus.holds(1).await;
    claim.goes_away().await;
    nexus.let_go(1);
    nexus.holds(2).await;
    (nexus, first, other, agent, id)
}

#[tokio::test]
async fn a_lease_that_another_coordinator_tells_of_is_not_given_back() {
    let (nexus, first, other, agent, id) = given_up_at_the_first().await;
    let agent = Agent {
        client: other.machine.clone(),
        ..agent
    };
    let lease = agent.one().await;
    assert_eq!((&lease.job, lease.attempt), (&id, 1));
    nexus.let_go(usize::MAX);
    // Both coordinators know it as the agent's, and nobody takes it back.
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
    let at_first = Agent {
        client: first.machine.clone(),
        ..agent
    };
    eventually("the give-back was refused", || async {
        (nexus.tally("job").refused == 1).then_some(())
    })
    .await;
    assert_eq!(at_first.finish(vec![success(&lease)]).await, [FinishResult::Done]);
    assert_eq!(other.job(&id).await.attempt, 1);
}

#[tokio::test]
async fn a_lease_that_was_given_back_is_told_by_no_coordinator() {
    let (nexus, _first, other, agent, id) = given_up_at_the_first().await;
    nexus.let_go(usize::MAX);
    eventually("the job is queued again", || async {
        (other.job(&id).await.state.as_str() == "queued").then_some(())
    })
    .await;
    let agent = Agent {
        client: other.machine.clone(),
        ..agent
    };
    assert_eq!(agent.renew(&[]).await.unlisted, []);
    let lease = agent.one().await;
    assert_eq!((&lease.job, lease.attempt), (&id, 2));
    assert_eq!(agent.finish(vec![success(&lease)]).await, [FinishResult::Done]);
    let job = other.job(&id).await;
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
