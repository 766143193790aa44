//! Logs on their way in: chunks by offset, the tail and the vault, and the finish that waits for all of it.

use bytes::Bytes;
use domain::job::RunEnd;
use protocol::LeaseToken;
use protocol::leases::{FinishResult, Lease, LogReceived};
use protocol::limits::LOG_CHUNK_BYTES_MAX;

use crate::agent::{finish, framed, refusal, refusals, report};
use crate::world::World;

fn stored(error: &protocol::client::ClientError, code: &str) -> u64 {
    let protocol::client::ClientError::Problem(problem) = error else {
        panic!("{error}")
    };
    assert_eq!((problem.status, problem.code.as_str()), (409, code));
    serde_json::from_str::<LogReceived>(&problem.detail)
        .unwrap()
        .stored
}

async fn text(world: &World, lease: &Lease) -> Bytes {
    let path = format!("/v1/jobs/{}/attempts/{}/log", lease.job, lease.attempt);
    world.say("GET", &path).send().await.body
}

#[tokio::test]
async fn chunks_are_taken_where_the_stored_bytes_end_and_nowhere_else() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    let log = framed(b"one two three\n");
    // Cut within a frame: offsets know no frames.
    let (head, tail) = (log.slice(..5), log.slice(5..));
    assert_eq!(agent.log(&lease, 0, head.clone()).await.unwrap().stored, 5);
    let repeated = agent.log(&lease, 0, head).await.unwrap_err();
    assert_eq!(stored(&repeated, "log_offset"), 5);
    let ahead = agent.log(&lease, 9, tail.slice(4..)).await.unwrap_err();
    assert_eq!(stored(&ahead, "log_offset"), 5);
    assert_eq!(agent.log(&lease, 5, tail).await.unwrap().stored, log.len() as u64);
    assert_eq!(text(&world, &lease).await, "one two three\n");
}

#[tokio::test]
async fn a_long_log_goes_through_the_vault_and_reads_as_one() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    let lines: String = (0..40_000).map(|n| format!("line {n:06}\n")).collect();
    let log = framed(lines.as_bytes());
    let mut offset = 0;
    for chunk in log.chunks(30_000) {
        let received = agent
            .log(&lease, offset, Bytes::copy_from_slice(chunk))
            .await
            .unwrap();
        offset += chunk.len();
        assert_eq!(received.stored, offset as u64);
    }
    assert!(text(&world, &lease).await == lines.as_bytes());
    let mut over = finish(&lease, RunEnd::Succeeded, Bytes::new());
    over.report = report(RunEnd::Succeeded, &log);
    over.log = None;
    assert_eq!(agent.finish(vec![over]).await, [FinishResult::Done]);
    assert!(text(&world, &lease).await == lines.as_bytes());
    let job = world.job(&lease.job).await;
    assert_eq!(job.attempts[0].log_bytes, Some(log.len() as u64));
}

#[tokio::test]
async fn one_chunk_may_be_larger_than_the_tail_and_not_larger_than_its_limit() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    let too_large = agent
        .log(&lease, 0, vec![0; LOG_CHUNK_BYTES_MAX + 1].into())
        .await;
    assert_eq!(too_large.unwrap_err().code(), Some("chunk_too_large"));
    let lines = vec![b'x'; LOG_CHUNK_BYTES_MAX - 1_000];
    let log = framed(&lines);
    assert_eq!(
        agent.log(&lease, 0, log.clone()).await.unwrap().stored,
        log.len() as u64
    );
    assert!(text(&world, &lease).await == lines);
}

#[tokio::test]
async fn a_finish_is_refused_until_the_log_is_there() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    let log = framed(b"all of it\n");
    agent.log(&lease, 0, log.slice(..8)).await.unwrap();
    let mut over = finish(&lease, RunEnd::Succeeded, log.clone());
    over.log = None;
    let FinishResult::Refused(problem) = &agent.finish(vec![over.clone()]).await[0] else {
        panic!()
    };
    let there: LogReceived = serde_json::from_str(&problem.detail).unwrap();
    assert_eq!((problem.code.as_str(), there.stored), ("log_incomplete", 8));
    assert_eq!(world.job(&id).await.state.as_str(), "running");
    agent.log(&lease, 8, log.slice(8..)).await.unwrap();
    assert_eq!(agent.finish(vec![over]).await, [FinishResult::Done]);
}

#[tokio::test]
async fn a_log_that_comes_along_must_be_the_stated_one() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    let mut over = finish(&lease, RunEnd::Succeeded, framed(b"this\n"));
    over.log = Some(framed(b"that\n"));
    assert_eq!(refusal(&agent.finish(vec![over]).await[0]), "log_mismatch");
}

#[tokio::test]
async fn whoever_lost_the_lease_writes_no_log() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let mut lease = agent.one().await;
    agent
        .finish(vec![finish(&lease, RunEnd::Succeeded, Bytes::new())])
        .await;
    let late = agent.log(&lease, 0, framed(b"late\n")).await;
    assert_eq!(late.unwrap_err().code(), Some("lease_lost"));
    lease.token = LeaseToken::from("hfl_1_0".to_owned());
    let forged = agent.log(&lease, 0, framed(b"forged\n")).await;
    assert_eq!(forged.unwrap_err().code(), Some("lease_lost"));
    assert_eq!(text(&world, &lease).await, "");
    let refused = (lease.job.clone(), "log".to_owned());
    assert_eq!(refusals(&world).await, [refused.clone(), refused]);
}
