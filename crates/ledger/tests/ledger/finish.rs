//! Finishes: complete or refused, once, and never by an attempt that is not live.

use std::time::Duration;

use domain::job::{AttemptEnd, RunEnd};
use domain::{Cause, Digest, Refused, State};
use ledger::record::ArtifactRecord;
use ledger::{FinishItem, FinishRefused, LogChunk, LogPiece};

use crate::pool::{Pool, TTL, ended, ended_with, evidence, lease, retried, spec};

#[tokio::test]
async fn a_finish_ends_the_job_with_what_it_left() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let file = ArtifactRecord {
        path: "out.bin".to_owned(),
        size: 3,
        digest: Digest::of(b"out"),
        executable: false,
    };
    let item = FinishItem {
        log: Some(b"built".to_vec()),
        artifacts: vec![file.clone()],
        ..ended_with(&id, b"built")
    };
    assert!(pool.ledger.log_pieces(&id, 1).await.unwrap() == [LogPiece::Bytes(Vec::new())]);
    assert!(pool.ledger.finish(&[item]).await[0].is_ok());
    assert_eq!(
        pool.ledger.log_pieces(&id, 1).await.unwrap(),
        [LogPiece::Bytes(b"built".to_vec())]
    );
    assert_eq!(pool.ledger.artifacts(&id, 1).await.unwrap().files, [file]);
    let State::Succeeded { attempt } = pool.state(&id).await else {
        panic!("the job should have succeeded")
    };
    assert_eq!((attempt.number, attempt.end), (1, AttemptEnd::Succeeded));
    pool.check().await;
}

#[tokio::test]
async fn a_log_of_any_size_comes_along() {
    let pool = Pool::new();
    let ids = pool.submit(vec![spec(); 2]).await;
    pool.claim(1, 2).await;
    let long = vec![7; nexus::limits::ENTRY_BYTES_MAX * 2 + 1];
    let item = FinishItem {
        log: Some(long.clone()),
        ..ended_with(&ids[0], &long)
    };
    let answers = pool
        .ledger
        .finish(&[item, ended(&ids[1], 1, RunEnd::Succeeded)])
        .await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(pool.ledger.log_tail(&ids[0], 1).await.unwrap(), long);
    pool.check().await;
}

#[tokio::test]
async fn a_repeated_finish_is_answered_alike_and_writes_nothing() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let item = FinishItem {
        log: Some(b"built".to_vec()),
        ..ended_with(&id, b"built")
    };
    assert!(pool.ledger.finish(std::slice::from_ref(&item)).await[0].is_ok());
    let (before, commits) = (pool.dump().await, pool.nexus.commits());
    pool.advance(Duration::from_secs(5));
    assert!(pool.ledger.finish(&[item]).await[0].is_ok());
    assert_eq!(pool.dump().await, before);
    assert_eq!(pool.nexus.commits(), commits);
    pool.check().await;
}

#[tokio::test]
async fn a_finish_whose_reply_was_lost_is_done_once() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    pool.nexus.lose_replies(2);
    assert!(pool.finish(&id, 1, RunEnd::Succeeded).await.is_err());
    let before = pool.dump().await;
    assert!(pool.finish(&id, 1, RunEnd::Succeeded).await.is_ok());
    assert_eq!(pool.dump().await, before);
    pool.check().await;
}

#[tokio::test]
async fn the_death_of_an_agent_does_not_overwrite_its_finish() {
    let pool = Pool::new();
    let id = pool.submit_one(retried(2)).await;
    pool.claim(1, 1).await;
    pool.finish(&id, 1, RunEnd::Succeeded).await.unwrap();
    let before = pool.dump().await;
    let died = RunEnd::Failed(Cause::AgentDied);
    pool.finish(&id, 1, died).await.unwrap();
    assert_eq!(pool.dump().await, before);
    pool.check().await;
}

#[tokio::test]
async fn a_log_that_is_not_complete_refuses_the_finish_and_says_what_is_there() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let chunk = LogChunk {
        offset: 0,
        bytes: b"buil".to_vec(),
    };
    pool.ledger.append_log(&lease(&id, 1), &chunk).await.unwrap();
    let before = pool.dump().await;
    let answers = pool.ledger.finish(&[ended_with(&id, b"built")]).await;
    assert!(
        matches!(
            answers[0],
            Err(FinishRefused::LogIncomplete { stored: 4, stated: 5 })
        ),
        "{answers:?}"
    );
    assert_eq!(pool.dump().await, before);
    let rest = LogChunk {
        offset: 4,
        bytes: b"t".to_vec(),
    };
    pool.ledger.append_log(&lease(&id, 1), &rest).await.unwrap();
    assert!(pool.ledger.finish(&[ended_with(&id, b"built")]).await[0].is_ok());
    pool.check().await;
}

#[tokio::test]
async fn a_log_of_which_a_part_was_shipped_already_does_not_come_along_again() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let chunk = LogChunk {
        offset: 0,
        bytes: b"bu".to_vec(),
    };
    pool.ledger.append_log(&lease(&id, 1), &chunk).await.unwrap();
    let item = FinishItem {
        log: Some(b"built".to_vec()),
        ..ended_with(&id, b"built")
    };
    let answers = pool.ledger.finish(&[item]).await;
    assert!(
        matches!(
            answers[0],
            Err(FinishRefused::LogIncomplete { stored: 2, stated: 5 })
        ),
        "{answers:?}"
    );
    assert!(matches!(pool.state(&id).await, State::Running(_)));
    pool.check().await;
}

#[tokio::test]
async fn a_log_that_grows_under_the_finish_is_not_cut_off() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let chunk = |offset, bytes: &[u8]| LogChunk {
        offset,
        bytes: bytes.to_vec(),
    };
    pool.ledger
        .append_log(&lease(&id, 1), &chunk(0, b"built"))
        .await
        .unwrap();
    let (other, job, more) = (pool.other(), id.clone(), chunk(5, b"!"));
    pool.nexus.before_next_commit(async move {
        other.append_log(&lease(&job, 1), &more).await.unwrap();
    });
    let answers = pool.ledger.finish(&[ended_with(&id, b"built")]).await;
    assert!(
        matches!(
            answers[0],
            Err(FinishRefused::LogIncomplete { stored: 6, stated: 5 })
        ),
        "{answers:?}"
    );
    pool.check().await;
}

#[tokio::test]
async fn a_log_that_is_not_the_stated_one_is_refused() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let before = pool.dump().await;
    for log in [b"build".to_vec(), b"buil".to_vec()] {
        let item = FinishItem {
            log: Some(log),
            ..ended_with(&id, b"built")
        };
        assert!(matches!(
            pool.ledger.finish(&[item]).await[0],
            Err(FinishRefused::LogMismatch)
        ));
    }
    assert_eq!(pool.dump().await, before);
    pool.check().await;
}

#[tokio::test]
async fn after_the_lease_was_taken_the_finish_is_refused() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(2)).await;
    pool.claim(1, 1).await;
    assert_eq!(pool.reap_for(TTL).await.taken, 1);
    let before = pool.dump().await;
    let stale = |answer| {
        matches!(
            answer,
            Err(FinishRefused::Rules(Refused::StaleLease { presented: 1, .. }))
        )
    };
    assert!(stale(pool.finish(&id, 1, RunEnd::Succeeded).await));
    assert_eq!(pool.dump().await, before);
    pool.claim(2, 1).await;
    let before = pool.dump().await;
    assert!(stale(pool.finish(&id, 1, RunEnd::Succeeded).await));
    assert_eq!(pool.dump().await, before);
    pool.finish(&id, 2, RunEnd::Succeeded).await.unwrap();
    pool.check().await;
}

#[tokio::test]
async fn a_finish_that_meets_the_reaper_loses_or_wins_but_never_both() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(2)).await;
    pool.claim(1, 1).await;
    pool.reap_for(TTL - Duration::from_secs(1)).await;
    let (other, advance) = (pool.other(), pool.clock_hand());
    pool.nexus.before_next_commit(async move {
        advance(Duration::from_secs(1));
        assert_eq!(other.reap(TTL).await.unwrap().taken, 1);
    });
    let answer = pool.finish(&id, 1, RunEnd::Succeeded).await;
    assert!(matches!(
        answer,
        Err(FinishRefused::Rules(Refused::StaleLease { .. }))
    ));
    assert!(matches!(pool.state(&id).await, State::Queued { .. }));
    pool.check().await;
}

#[tokio::test]
async fn one_bad_item_does_not_spoil_a_batch() {
    let pool = Pool::new();
    let ids = pool.submit(vec![spec(); 4]).await;
    pool.claim(1, 3).await;
    let unknown = "test-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap();
    let mismatch = FinishItem {
        log: Some(b"x".to_vec()),
        ..ended_with(&ids[1], b"built")
    };
    let items = [
        ended(&unknown, 1, RunEnd::Succeeded),
        ended(&ids[0], 1, RunEnd::Succeeded),
        mismatch,
        ended(&ids[3], 2, RunEnd::Succeeded),
        ended(&ids[2], 1, RunEnd::Failed(Cause::Exit { code: 2 })),
    ];
    let answers = pool.ledger.finish(&items).await;
    assert!(matches!(answers[0], Err(FinishRefused::Unknown(_))));
    assert!(answers[1].is_ok());
    assert!(matches!(answers[2], Err(FinishRefused::LogMismatch)));
    assert!(matches!(
        answers[3],
        Err(FinishRefused::Rules(Refused::StaleLease { .. }))
    ));
    assert!(answers[4].is_ok());
    assert!(matches!(pool.state(&ids[2]).await, State::Failed { .. }));
    pool.check().await;
}

#[tokio::test]
async fn one_item_twice_in_one_commit_is_done_once() {
    let pool = Pool::new();
    let id = pool.submit_one(spec()).await;
    pool.claim(1, 1).await;
    let item = ended(&id, 1, RunEnd::Succeeded);
    let answers = pool.ledger.finish(&[item.clone(), item]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    pool.check().await;
}

#[tokio::test]
async fn an_outage_fails_every_item_and_ends_no_job() {
    let pool = Pool::new();
    let ids = pool.submit(vec![spec(); 2]).await;
    pool.claim(1, 2).await;
    pool.nexus.inner.set_available(false);
    let items: Vec<_> = ids.iter().map(|id| ended(id, 1, RunEnd::Succeeded)).collect();
    let answers = pool.ledger.finish(&items).await;
    assert!(answers.iter().all(|a| matches!(a, Err(FinishRefused::Ledger(_)))));
    pool.nexus.inner.set_available(true);
    assert!(pool.ledger.finish(&items).await.iter().all(Result::is_ok));
    pool.check().await;
}

#[tokio::test]
async fn a_failure_of_the_machinery_is_tried_again_and_both_attempts_are_kept() {
    let pool = Pool::new();
    let id = pool.submit_one(retried(2)).await;
    pool.claim(1, 1).await;
    pool.finish(&id, 1, RunEnd::Failed(Cause::Disk)).await.unwrap();
    pool.claim(2, 1).await;
    pool.finish(&id, 2, RunEnd::Succeeded).await.unwrap();
    let detail = pool.ledger.detail(&id).await.unwrap().unwrap();
    let ends: Vec<_> = detail
        .attempts
        .iter()
        .map(|a| (a.number, a.end.clone()))
        .collect();
    assert_eq!(
        ends,
        [(1, AttemptEnd::Failed(Cause::Disk)), (2, AttemptEnd::Succeeded)]
    );
    assert_eq!(detail.attempts[0].evidence, Some(evidence(b"")));
    assert_eq!(detail.stored.job().charged, 2);
    pool.check().await;
}
