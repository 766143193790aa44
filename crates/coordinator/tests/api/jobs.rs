//! Looking at jobs: lists, facts, and why one waits.

use domain::job::RunEnd;
use domain::{Cause, JobId, Resources};
use protocol::agents::AgentInfo;
use protocol::jobs::{EventList, JobList, WhyView};
use serde_json::json;

use crate::agent::{finish, framed, info, success};
use crate::world::{World, eventually, spec};

async fn page(world: &World, query: &str) -> JobList {
    world.say("GET", &format!("/v1/jobs?{query}")).send().await.json()
}

async fn why(world: &World, id: &JobId) -> WhyView {
    world
        .say("GET", &format!("/v1/jobs/{id}/why"))
        .send()
        .await
        .json()
}

#[tokio::test]
async fn pages_show_each_job_once_newest_first_while_new_ones_arrive() {
    let world = World::start().await;
    let mut made = Vec::new();
    for _ in 0..25 {
        made.push(world.submit().await);
    }
    let mut shown = Vec::new();
    let mut query = "limit=10".to_owned();
    loop {
        let page = page(&world, &query).await;
        shown.extend(page.items.into_iter().map(|job| job.id));
        let Some(next) = page.next else { break };
        query = format!("limit=10&cursor={next}");
        world.submit().await;
    }
    made.sort_by(|a, b| b.cmp(a));
    shown.sort_by(|a, b| b.cmp(a));
    assert_eq!(shown, made);
}

#[tokio::test]
async fn the_newest_job_is_first() {
    let world = World::start().await;
    let old = world.submit().await;
    let new = eventually("a job of a later millisecond", || async {
        let new = world.submit().await;
        let (old, new) = (world.job(&old).await, world.job(&new).await);
        (new.submitted_at > old.submitted_at).then_some(new.id)
    });
    let new = new.await;
    assert_eq!(page(&world, "limit=1").await.items[0].id, new);
    let all = page(&world, "").await;
    assert!(all.items.is_sorted_by(|a, b| a.submitted_at >= b.submitted_at));
}

#[tokio::test]
async fn a_list_can_be_of_one_state() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    for _ in 0..5 {
        world.submit().await;
    }
    let leases = agent.claim(3, 0).await.leases;
    let failed = finish(
        &leases[1],
        RunEnd::Failed(Cause::Exit { code: 3 }),
        framed(b"no\n"),
    );
    agent.finish(vec![success(&leases[0]), failed]).await;
    let ids = async |state: &str| {
        let list = page(&world, &format!("state={state}&limit=1000")).await;
        list.items.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(ids("succeeded").await, [leases[0].job.clone()]);
    assert_eq!(ids("failed").await, [leases[1].job.clone()]);
    assert_eq!(ids("running").await, [leases[2].job.clone()]);
    assert_eq!((ids("queued").await.len(), ids("cancelled").await.len()), (2, 0));
    let one = page(&world, "state=succeeded&limit=1").await;
    assert_eq!(one.items.len(), 1);
    let rest = page(
        &world,
        &format!("state=succeeded&limit=1&cursor={}", one.next.unwrap()),
    )
    .await;
    assert_eq!((rest.items.len(), rest.next), (0, None));
}

#[tokio::test]
async fn the_facts_of_a_job_form_a_chain_that_ends_in_its_record() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    agent.finish(vec![success(&lease)]).await;
    let facts: EventList = world
        .say("GET", &format!("/v1/jobs/{id}/events"))
        .send()
        .await
        .json();
    let told: Vec<(&str, &str, Option<u32>)> = facts
        .items
        .iter()
        .map(|fact| (fact.event.as_str(), fact.state.as_str(), fact.attempt))
        .collect();
    assert_eq!(
        told,
        [
            ("submitted", "queued", None),
            ("claimed", "running", Some(1)),
            ("finished", "succeeded", Some(1))
        ]
    );
    assert_eq!(facts.items[0].by.as_ref().unwrap().as_str(), "admin");
    assert_eq!(facts.items[1].agent.as_ref().unwrap().as_str(), "forge");
    let hashes: std::collections::HashSet<_> = facts.items.iter().map(|fact| fact.hash).collect();
    assert_eq!(hashes.len(), 3);
}

#[tokio::test]
async fn why_names_every_unmet_requirement_of_every_agent() {
    let world = World::start().await;
    let id = world
        .submit_spec(&spec(
            r#"{"command": ["true"], "requires": ["os = macos", "gpu >= 1"], "limits": {"cpus": 8}}"#,
        ))
        .await;
    assert_eq!(why(&world, &id).await.verdict, "waits: no agent has enrolled");
    world.agent("forge-1").await;
    let mac = [("os".to_owned(), "macos".to_owned())].into();
    world
        .agent_of(AgentInfo {
            labels: mac,
            ..info("forge-2")
        })
        .await;
    let answer = why(&world, &id).await;
    assert_eq!(
        answer.verdict,
        "waits: none of the 2 known agents can ever run it"
    );
    assert_eq!(answer.ahead, Some(0));
    let unmet: Vec<_> = answer.agents.iter().map(|agent| json!(agent.unmet)).collect();
    let cpus = json!({"kind": "cpus", "required": 8000, "capacity": 4000});
    let gpu = json!({"kind": "label", "required": "gpu >= 1", "found": null});
    let os = json!({"kind": "label", "required": "os = macos", "found": "linux"});
    assert_eq!(unmet, [json!([gpu, os, cpus]), json!([gpu, cpus])]);
}

#[tokio::test]
async fn an_agent_without_a_free_slot_is_busy_even_for_a_job_that_reserves_nothing() {
    let world = World::start().await;
    let agent = world
        .agent_of(AgentInfo {
            slots: 1,
            ..info("forge")
        })
        .await;
    let (running, first, second) = (world.submit().await, world.submit().await, world.submit().await);
    let lease = agent.one().await;
    assert_eq!(why(&world, &lease.job).await.verdict, "runs on forge");
    let mut waiting = [running, first, second].to_vec();
    waiting.retain(|id| *id != lease.job);
    waiting.sort();
    let answer = why(&world, &waiting[1]).await;
    assert_eq!(json!(answer.agents[0].unmet), json!([{"kind": "busy"}]));
    assert_eq!(
        answer.verdict,
        "waits for a free slot: 1 of 1 known agents can run it; 1 job goes before it in its lane"
    );
    agent.finish(vec![success(&lease)]).await;
    let answer = why(&world, &waiting[0]).await;
    assert_eq!((answer.agents[0].unmet.len(), answer.ahead), (0, Some(0)));
    assert_eq!(
        answer.verdict,
        "waits to be taken: 1 of 1 known agents can take it now"
    );
    let ended = why(&world, &lease.job).await;
    assert_eq!(
        (ended.verdict, ended.agents.len()),
        (format!("{} has succeeded", lease.job), 0)
    );
}

#[tokio::test]
async fn an_agent_whose_cpus_are_reserved_is_busy_and_not_unable() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world
        .submit_spec(&spec(r#"{"command": ["true"], "limits": {"cpus": 3}}"#))
        .await;
    agent.one().await;
    let id = world
        .submit_spec(&spec(r#"{"command": ["true"], "limits": {"cpus": 2}}"#))
        .await;
    assert_eq!(
        json!(why(&world, &id).await.agents[0].unmet),
        json!([{"kind": "busy"}])
    );
}

#[tokio::test]
async fn a_job_that_waits_for_its_time_or_its_group_says_so() {
    let world = World::start().await;
    let later = world
        .submit_spec(&spec(
            r#"{"command": ["true"], "not_before": "2099-01-01T00:00:00Z"}"#,
        ))
        .await;
    assert!(
        why(&world, &later)
            .await
            .verdict
            .starts_with("waits until 2099-01-01")
    );
    let grouped = spec(r#"{"command": ["true"], "group": {"name": "deploy", "limit": 1}}"#);
    let (one, other) = (
        world.submit_spec(&grouped).await,
        world.submit_spec(&grouped).await,
    );
    let verdicts = eventually("one of the group is admitted", || async {
        let verdicts = [why(&world, &one).await.verdict, why(&world, &other).await.verdict];
        verdicts
            .iter()
            .any(|verdict| !verdict.contains("group"))
            .then_some(verdicts)
    });
    let group = "waits for room in its group `deploy`, which lets 1 run at once";
    assert_eq!(
        verdicts.await.iter().filter(|verdict| *verdict == group).count(),
        1
    );
}

#[tokio::test]
async fn a_job_whose_time_has_come_is_given_out() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let now = world.job(&world.submit().await).await.submitted_at;
    let first = agent.one().await;
    agent.finish(vec![success(&first)]).await;
    let soon = domain::JobSpec {
        not_before: Some(now.plus(std::time::Duration::from_millis(600))),
        ..domain::JobSpec::command(["true"])
    };
    let id = world.submit_spec(&soon).await;
    assert_eq!(agent.one().await.job, id);
    assert!(world.job(&id).await.started_at.unwrap() >= soon.not_before.unwrap());
}

#[tokio::test]
async fn resources_of_agents_add_up() {
    let world = World::start().await;
    let capacity = Resources {
        cpu_millis: 2_000,
        memory_bytes: 1 << 30,
    };
    let agent = world
        .agent_of(AgentInfo {
            capacity,
            ..info("small")
        })
        .await;
    for _ in 0..3 {
        world
            .submit_spec(&spec(r#"{"command": ["true"], "limits": {"cpus": 1}}"#))
            .await;
    }
    world
        .submit_spec(&spec(r#"{"command": ["true"], "limits": {"memory": "2GiB"}}"#))
        .await;
    assert_eq!(agent.claim(4, 0).await.leases.len(), 2);
}
