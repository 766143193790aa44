//! Claims: parked and woken, repeatable, and never more than an agent can take.

use std::time::Duration;

use domain::{JobSpec, Lane};
use protocol::agents::{AgentInfo, AgentList, AgentState};
use protocol::client::{Client, Options};
use protocol::leases::{AheadWish, ClaimRequest, FinishReply, FinishRequest};
use tokio::time::Instant;

use crate::agent::{Agent, held, info, success};
use crate::waiting::are_parked;
use crate::world::{JOIN, World, eventually, spec};

async fn agents(world: &World, path: &str) -> AgentList {
    world.say("GET", path).send().await.json()
}

#[tokio::test]
async fn a_parked_claim_wakes_when_a_job_is_submitted() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let began = Instant::now();
    let submit = async {
        are_parked(&world, "claims", 1).await;
        world.submit().await
    };
    let (reply, id) = tokio::join!(agent.claim(1, 30_000), submit);
    assert_eq!(reply.leases.len(), 1);
    let lease = &reply.leases[0];
    assert_eq!(
        (&lease.job, lease.attempt, lease.ttl_ms, lease.cancel),
        (&id, 1, 30_000, false)
    );
    assert_eq!(lease.spec, JobSpec::command(["true"]));
    assert!(
        began.elapsed() < Duration::from_millis(800),
        "{:?}",
        began.elapsed()
    );
    let job = world.job(&id).await;
    assert_eq!(
        (job.state.as_str(), job.agent.unwrap().as_str()),
        ("running", "forge")
    );
}

#[tokio::test]
async fn a_claim_that_does_not_wait_is_answered_at_once() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let began = Instant::now();
    let reply = agent.claim(1, 0).await;
    assert_eq!((reply.leases.len(), reply.draining), (0, false));
    assert!(
        began.elapsed() < Duration::from_millis(800),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_parked_claim_is_answered_with_nothing_when_its_time_is_over() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let began = Instant::now();
    assert_eq!(agent.claim(1, 300).await.leases, []);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn an_agent_that_nobody_knows_enrols_with_its_claim() {
    let world = World::start().await;
    let stranger = Agent {
        info: info("forge"),
        client: world.machine.clone(),
    };
    let refused = stranger.ask(&stranger.wish(1, 0)).await.unwrap_err();
    assert_eq!(refused.code(), Some("agent_unknown"));
    let enrolling = ClaimRequest {
        enrol: Some(Box::new(stranger.info.clone())),
        ..stranger.wish(1, 0)
    };
    stranger.ask(&enrolling).await.unwrap();
    assert_eq!(
        agents(&world, "/v1/agents/forge").await.items[0].id,
        stranger.info.id
    );
    let posing = ClaimRequest {
        enrol: Some(Box::new(info("other"))),
        ..stranger.wish(1, 0)
    };
    assert_eq!(stranger.ask(&posing).await.unwrap_err().code(), Some("bad_claim"));
}

#[tokio::test]
async fn what_an_agent_says_of_itself_has_limits() {
    let world = World::start().await;
    let long = "x".repeat(65);
    let bad = [
        AgentInfo {
            slots: 0,
            ..info("forge")
        },
        AgentInfo {
            slots: 1_025,
            ..info("forge")
        },
        AgentInfo {
            executor: long.clone(),
            ..info("forge")
        },
        AgentInfo {
            version: String::new(),
            ..info("forge")
        },
        AgentInfo {
            labels: [("os".to_owned(), "a b".to_owned())].into(),
            ..info("forge")
        },
        AgentInfo {
            labels: (0..65).map(|n| (format!("l{n}"), "x".to_owned())).collect(),
            ..info("forge")
        },
    ];
    for info in bad {
        let refused = world
            .machine
            .post::<serde_json::Value>("/v1/agents", &info, Options::default())
            .await;
        assert_eq!(refused.unwrap_err().code(), Some("bad_agent"));
    }
    assert_eq!(agents(&world, "/v1/agents").await.items, []);
}

#[tokio::test]
async fn a_repeated_claim_returns_what_was_not_listed_and_nothing_new() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lost = agent.one().await;
    world.submit().await;
    let repeated = agent.claim(1, 30_000).await;
    assert_eq!(repeated.leases, std::slice::from_ref(&lost));
    let listing = ClaimRequest {
        held: vec![held(&lost)],
        ..agent.wish(1, 0)
    };
    let fresh = agent.ask(&listing).await.unwrap();
    assert_eq!(fresh.leases.len(), 1);
    assert_ne!(fresh.leases[0].job, lost.job);
}

#[tokio::test]
async fn leases_ahead_come_from_the_named_lane_only() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let linux = spec(r#"{"command": ["true"], "requires": ["os = linux"]}"#);
    for _ in 0..3 {
        world.submit().await;
        world.submit_spec(&linux).await;
    }
    let lane = Lane::new(linux.resources(), linux.constraints());
    let ahead = Some(AheadWish {
        lane: lane.clone(),
        n: 2,
    });
    let reply = agent
        .ask(&ClaimRequest {
            ahead,
            ..agent.wish(0, 0)
        })
        .await
        .unwrap();
    assert_eq!(reply.leases.len(), 2);
    assert!(reply.leases.iter().all(|lease| lease.lane == lane));
}

#[tokio::test]
async fn an_agent_gets_only_what_fits_into_what_is_free() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    for _ in 0..5 {
        world
            .submit_spec(&spec(r#"{"command": ["true"], "limits": {"cpus": 1}}"#))
            .await;
    }
    world
        .submit_spec(&spec(r#"{"command": ["true"], "limits": {"cpus": 3}}"#))
        .await;
    let mut wish = agent.wish(4, 0);
    wish.free.cpu_millis = 2_000;
    let leases = agent.ask(&wish).await.unwrap().leases;
    assert_eq!(leases.len(), 2);
    assert!(
        leases
            .iter()
            .all(|lease| lease.lane.resources().cpu_millis == 1_000)
    );
}

#[tokio::test]
async fn slots_without_a_place_for_the_job_go_to_the_next_job() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let urgent = r#"{"command": ["true"], "priority": 100, "requires": ["gpu exists"]}"#;
    world.submit_spec(&spec(urgent)).await;
    let id = world.submit().await;
    assert_eq!(agent.one().await.job, id);
}

#[tokio::test]
async fn two_processes_of_one_name_both_work() {
    let world = World::start().await;
    let (one, other) = (world.agent("forge").await, world.agent("forge").await);
    world.submit().await;
    world.submit().await;
    let (first, second) = (one.one().await, other.one().await);
    assert_ne!(first.job, second.job);
    let shown = agents(&world, "/v1/agents/forge").await.items;
    assert_eq!(shown.len(), 2);
    assert!(
        shown
            .iter()
            .all(|agent| agent.state == AgentState::Busy && agent.running.len() == 1)
    );
}

#[tokio::test]
async fn a_finish_can_bring_new_leases_back() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    let next = world.submit().await;
    let request = FinishRequest {
        finishes: vec![success(&lease)],
        claim: Some(ClaimRequest {
            held: vec![held(&lease)],
            ..agent.wish(1, 30_000)
        }),
    };
    let reply: FinishReply = agent
        .client
        .post("/v1/leases/finish", &request, Options::default())
        .await
        .unwrap();
    assert_eq!(reply.claim.unwrap().leases[0].job, next);
    // Nothing is left: the claim of a finish never waits.
    let request = FinishRequest {
        finishes: Vec::new(),
        claim: request.claim,
    };
    let request = FinishRequest {
        claim: request.claim.map(|claim| ClaimRequest {
            held: vec![held(&agent_lease(&next))],
            ..claim
        }),
        ..request
    };
    let began = Instant::now();
    let reply: FinishReply = agent
        .client
        .post("/v1/leases/finish", &request, Options::default())
        .await
        .unwrap();
    assert_eq!(reply.claim.unwrap().leases, []);
    assert!(began.elapsed() < Duration::from_secs(1));
}

fn agent_lease(job: &domain::JobId) -> protocol::leases::Lease {
    protocol::leases::Lease {
        job: job.clone(),
        attempt: 1,
        token: "hfl_1_".to_owned().into(),
        lane: Lane::default(),
        ttl_ms: 0,
        cancel: false,
        spec: JobSpec::command(["true"]),
    }
}

#[tokio::test]
async fn a_job_that_was_claimed_for_an_agent_that_hung_up_goes_to_another() {
    let world = World::start().await;
    let gone = world.agent("gone").await;
    let hasty = Client::new([format!("http://{}", world.address)], JOIN).unwrap();
    let impatient = Options::default().timeout(Duration::from_millis(100));
    let cut_off = hasty
        .post::<serde_json::Value>("/v1/claims", &gone.wish(1, 30_000), impatient)
        .await;
    assert!(cut_off.unwrap_err().is_transient());
    drop(hasty);
    let id = world.submit().await;
    let other = world.agent("other").await;
    let lease = eventually("the other agent gets it", || async {
        other.claim(1, 500).await.leases.pop()
    });
    assert_eq!(lease.await.job, id);
}

#[tokio::test]
async fn many_large_agents_are_all_served() {
    let world = World::start().await;
    let mut large = Vec::new();
    for n in 0..6 {
        large.push(
            world
                .agent_of(AgentInfo {
                    slots: 1_024,
                    ..info(&format!("large-{n}"))
                })
                .await,
        );
    }
    let claims = futures_util::future::join_all(large.iter().map(|agent| agent.claim(1_024, 5_000)));
    let submit = async {
        are_parked(&world, "claims", 6).await;
        let jobs = vec![serde_json::json!({"command": ["true"]}); 1_000];
        let body = serde_json::json!({ "jobs": jobs }).to_string();
        let (one, other) = (
            world.say("POST", "/v1/jobs/batch").body(body.clone()).send(),
            world.say("POST", "/v1/jobs/batch").body(body).send(),
        );
        tokio::join!(one, other)
    };
    let (replies, _) = tokio::join!(claims, submit);
    let mut claimed: usize = replies.iter().map(|reply| reply.leases.len()).sum();
    assert!(claimed >= 1_000, "{claimed} while parked");
    // Whoever was answered between the two batches comes again.
    for (agent, reply) in large.iter().zip(&replies) {
        let wish = ClaimRequest {
            held: reply.leases.iter().map(held).collect(),
            ..agent.wish(1_024, 0)
        };
        claimed += agent.ask(&wish).await.unwrap().leases.len();
    }
    assert_eq!(claimed, 2_000);
}
