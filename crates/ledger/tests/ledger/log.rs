//! Logs: one gapless row of bytes, whatever is shipped twice, late or by the wrong attempt.

use domain::job::RunEnd;
use ledger::record::Segment;
use ledger::{LogChunk, LogPiece, LogRefused, Rolled};

use crate::pool::{Pool, TTL, agent, ended_with, lease, retried, spec};

fn chunk(offset: u64, bytes: &[u8]) -> LogChunk {
    let bytes = bytes.to_vec();
    LogChunk { offset, bytes }
}

#[tokio::test]
async fn chunks_follow_each_other_without_a_gap() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    assert_eq!(
        pool.ledger
            .append_log(&lease(&id, 1), &chunk(0, b"one "))
            .await
            .unwrap(),
        4
    );
    assert_eq!(
        pool.ledger
            .append_log(&lease(&id, 1), &chunk(4, b"two"))
            .await
            .unwrap(),
        7
    );
    let before = pool.dump().await;
    for offset in [0, 4, 6, 8] {
        let refused = pool
            .ledger
            .append_log(&lease(&id, 1), &chunk(offset, b"two"))
            .await;
        assert!(
            matches!(refused, Err(LogRefused::Offset { stored: 7 })),
            "{offset}"
        );
    }
    assert_eq!(pool.dump().await, before);
    assert_eq!(pool.ledger.log_tail(&id, 1).await.unwrap(), b"one two");
    pool.check().await;
}

#[tokio::test]
async fn a_chunk_larger_than_an_entry_is_stored_whole() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let long: Vec<u8> = (0..=u8::MAX)
        .cycle()
        .take(nexus::limits::ENTRY_BYTES_MAX + 5)
        .collect();
    pool.ledger
        .append_log(&lease(&id, 1), &chunk(0, &long))
        .await
        .unwrap();
    assert_eq!(pool.ledger.log_tail(&id, 1).await.unwrap(), long);
    pool.check().await;
}

#[tokio::test]
async fn only_the_live_attempt_writes() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(2)).await;
    let lost = |answer| matches!(answer, Err(LogRefused::LeaseLost));
    assert!(lost(
        pool.ledger.append_log(&lease(&id, 1), &chunk(0, b"x")).await
    ));
    pool.claim(1, 1).await;
    pool.ledger
        .append_log(&lease(&id, 1), &chunk(0, b"x"))
        .await
        .unwrap();
    assert!(lost(
        pool.ledger.append_log(&lease(&id, 2), &chunk(0, b"x")).await
    ));
    pool.reap_for(TTL).await;
    assert!(lost(
        pool.ledger.append_log(&lease(&id, 1), &chunk(1, b"y")).await
    ));
    pool.claim(2, 1).await;
    assert!(lost(
        pool.ledger.append_log(&lease(&id, 1), &chunk(1, b"y")).await
    ));
    // The number is right, but it was given to the other agent.
    assert!(lost(
        pool.ledger.append_log(&lease(&id, 2), &chunk(0, b"y")).await
    ));
    let others = domain::ProvenLease {
        agent: agent(2).id,
        ..lease(&id, 2)
    };
    pool.ledger.append_log(&others, &chunk(0, b"z")).await.unwrap();
    pool.finish(&id, 2, RunEnd::Failed(domain::Cause::Exit { code: 1 }))
        .await
        .unwrap();
    assert!(lost(pool.ledger.append_log(&others, &chunk(1, b"y")).await));
    assert_eq!(pool.ledger.log_tail(&id, 1).await.unwrap(), b"x");
    pool.check().await;
}

#[tokio::test]
async fn a_chunk_whose_lease_is_taken_before_it_commits_is_refused() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(2)).await;
    pool.claim(1, 1).await;
    let (other, job) = (pool.other(), id.clone());
    pool.nexus.before_next_commit(async move {
        let item = crate::pool::ended(&job, 1, RunEnd::Failed(domain::Cause::Disk));
        assert!(other.finish(&[item]).await[0].is_ok());
    });
    let answer = pool.ledger.append_log(&lease(&id, 1), &chunk(0, b"x")).await;
    assert!(matches!(answer, Err(LogRefused::LeaseLost)));
    assert!(pool.ledger.log_tail(&id, 1).await.unwrap().is_empty());
    pool.check().await;
}

#[tokio::test]
async fn a_rolled_log_reads_the_same_and_goes_on() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.ledger
        .append_log(&lease(&id, 1), &chunk(0, b"one "))
        .await
        .unwrap();
    let first = Rolled {
        from: pool.ledger.log_status(&id, 1).await.unwrap(),
        segment: Segment::of(b"one two "),
    };
    assert_eq!(
        pool.ledger.roll_log(&lease(&id, 1), first.clone()).await.unwrap(),
        8
    );
    assert!(pool.ledger.log_tail(&id, 1).await.unwrap().is_empty());
    assert_eq!(
        pool.ledger
            .append_log(&lease(&id, 1), &chunk(8, b"three"))
            .await
            .unwrap(),
        13
    );
    let again = pool.ledger.roll_log(&lease(&id, 1), first).await;
    assert!(matches!(again, Err(LogRefused::Changed)));
    assert_eq!(
        pool.ledger.log_pieces(&id, 1).await.unwrap(),
        [
            LogPiece::Segment(Segment::of(b"one two ")),
            LogPiece::Bytes(b"three".to_vec())
        ]
    );
    assert!(pool.ledger.finish(&[ended_with(&id, b"one two three")]).await[0].is_ok());
    pool.check().await;
}

#[tokio::test]
async fn a_roll_that_meets_a_chunk_changes_nothing() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.ledger
        .append_log(&lease(&id, 1), &chunk(0, b"one"))
        .await
        .unwrap();
    let rolled = Rolled {
        from: pool.ledger.log_status(&id, 1).await.unwrap(),
        segment: Segment::of(b"one"),
    };
    let (other, job) = (pool.other(), id.clone());
    pool.nexus.before_next_commit(async move {
        other
            .append_log(&lease(&job, 1), &chunk(3, b" two"))
            .await
            .unwrap();
    });
    let answer = pool.ledger.roll_log(&lease(&id, 1), rolled).await;
    assert!(matches!(answer, Err(LogRefused::Changed)));
    assert_eq!(pool.ledger.log_tail(&id, 1).await.unwrap(), b"one two");
    pool.check().await;
}

#[tokio::test]
async fn a_log_nobody_wrote_is_empty() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    assert_eq!(
        pool.ledger.log_pieces(&id, 1).await.unwrap(),
        [LogPiece::Bytes(Vec::new())]
    );
    assert_eq!(pool.ledger.log_status(&id, 1).await.unwrap().stored(), 0);
    pool.check().await;
}
