//! A nexus that comes back without the last things that it acknowledged: the agent says them again.

use std::time::Duration;

use agent_tree::start;
use domain::job::RunEnd;
use domain::{JobId, JobSpec};
use protocol::leases::Lease;
use tokio::time::sleep;

use crate::coordinator::State;
use crate::harness::{Harness, script};
use crate::outage::{calm, until};

/// An era of the nexus.
fn era(name: &str) -> Option<String> {
    Some(name.to_owned())
}

/// A job that has ended and is reported, and its lease as it was before.
async fn done(world: &Harness, spec: JobSpec) -> (JobId, Lease) {
    let job = world.coordinator.submit(spec);
    let lease = world
        .coordinator
        .until("the lease is granted", |state: &mut State| {
            state.live.get(&job).cloned()
        })
        .await;
    world.coordinator.finished(&job).await;
    (job, lease)
}

/// A job that the fake coordinator can be caught at before it has ended.
fn brief(output: &str) -> JobSpec {
    script(&format!("{output}; sleep 0.3"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_another_era_has_begun_the_latest_ends_are_reported_again_and_the_leases_renewed() {
    let world = Harness::new().await;
    {
        let mut state = world.coordinator.state();
        state.ttl_ms = 3_000;
        state.era = era("one");
    }
    let agent = start(&world.config("slots = 2")).await.unwrap();
    let (kept, _) = done(&world, brief("echo kept")).await;
    let (forgotten, lease) = done(&world, brief("echo forgotten")).await;
    let (talkative, shipped) = done(&world, brief("head -c 300000 /dev/zero")).await;
    let marker = world.data.path().join("marker");
    let running = world.coordinator.submit(until(&marker));
    world.runs(&agent, &running).await;
    // The agent has heard of the first era.
    world
        .coordinator
        .until("the lease is renewed", |state| (state.renewals > 2).then_some(()))
        .await;
    {
        let mut state = world.coordinator.state();
        for (job, lease) in [(&forgotten, lease), (&talkative, shipped)] {
            state.finishes.retain(|finish| finish.job != *job);
            state.logs.remove(job);
            state.live.insert(job.clone(), lease);
        }
        state.era = era("two");
    }
    let again = world.coordinator.finished(&forgotten).await;
    assert_eq!(again.report.end, RunEnd::Succeeded);
    assert!(again.report.evidence.is_some());
    // Its log was shipped before the end and is gone: the end is reported without it.
    let again = world.coordinator.finished(&talkative).await;
    assert_eq!(again.report.end, RunEnd::Succeeded);
    assert_eq!(again.report.evidence, None);
    // What was to be told of those two may have been heard of from a claim, before the era was.
    let repeats = |state: &mut State| (state.repeated >= 1).then_some(());
    world
        .coordinator
        .until("the end that is there is repeated", repeats)
        .await;
    {
        let state = world.coordinator.state();
        let kept = |finish: &&protocol::leases::Finish| finish.job == kept;
        assert_eq!(state.finishes.iter().filter(kept).count(), 1);
        assert!(state.refused.is_empty());
    }
    std::fs::write(&marker, "").unwrap();
    world.coordinator.finished(&running).await;
    calm(&agent);
    agent.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_told_again_yet_is_told_later_and_new_reports_do_not_wait_for_it() {
    let world = Harness::new().await;
    {
        let mut state = world.coordinator.state();
        state.ttl_ms = 3_000;
        state.era = era("one");
    }
    let agent = start(&world.config("slots = 2")).await.unwrap();
    let (forgotten, lease) = done(&world, brief("echo forgotten")).await;
    let marker = world.data.path().join("marker");
    let running = world.coordinator.submit(until(&marker));
    world.runs(&agent, &running).await;
    let heard = |state: &mut State| (state.renewals > 2).then_some(());
    world.coordinator.until("the era is heard of", heard).await;
    {
        let mut state = world.coordinator.state();
        state.finishes.clear();
        state.logs.clear();
        state.live.insert(forgotten.clone(), lease);
        state.down.insert("/v1/leases/finish");
        state.era = era("two");
    }
    // It is told in vain for a while.
    sleep(Duration::from_secs(2)).await;
    assert!(world.coordinator.state().finishes.is_empty());
    std::fs::write(&marker, "").unwrap();
    world.coordinator.state().down.clear();
    world.coordinator.finished(&running).await;
    world.coordinator.finished(&forgotten).await;
    calm(&agent);
    agent.close().await;
}
