//! Records of a newer minor version survive everything that this version does to them.
//!
//! A newer version's record is made by adding a field to every map of a stored one that is not an enum's.

use ciborium::Value;
use domain::job::RunEnd;
use domain::{Cause, State};
use ledger::{LogChunk, keys};

use crate::agents::record;
use crate::pool::{BEAT, Pool, TTL, agent, lease, retried};

/// Maps that are one variant of an enum, by that variant: a newer minor version adds nothing beside it.
const VARIANTS: [&str; 6] = ["queued", "running", "succeeded", "failed", "cancelled", "until"];

fn with_newer_fields(value: Value) -> Value {
    match value {
        Value::Map(entries) => {
            let is_variant =
                matches!(entries.as_slice(), [(Value::Text(key), _)] if VARIANTS.contains(&key.as_str()));
            let inner = entries.into_iter();
            let mut entries: Vec<_> = inner
                .map(|(key, value)| (key, with_newer_fields(value)))
                .collect();
            let is_newer = entries.iter().any(|(key, _)| key.as_text() == Some("newer"));
            if !is_variant && !is_newer {
                entries.push(("newer".into(), "kept".into()));
            }
            Value::Map(entries)
        }
        Value::Array(all) => Value::Array(all.into_iter().map(with_newer_fields).collect()),
        other => other,
    }
}

/// How many newer fields a record has.
fn newer_fields(value: &Value) -> usize {
    match value {
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| usize::from(key.as_text() == Some("newer")) + newer_fields(value))
            .sum(),
        Value::Array(all) => all.iter().map(newer_fields).sum(),
        _ => 0,
    }
}

async fn stored(pool: &Pool, key: &str) -> Value {
    let bytes = pool.dump().await.records[key].bytes.clone();
    ciborium::from_reader(&bytes[1..]).unwrap()
}

/// Lets a newer version have written the record. Returns how many fields it added.
async fn written_by_a_newer_version(pool: &Pool, key: &str) -> usize {
    let newer = with_newer_fields(stored(pool, key).await);
    let mut bytes = vec![ledger::record::RECORD_VERSION];
    ciborium::into_writer(&newer, &mut bytes).unwrap();
    pool.damage(|tx| tx.puts.push((key.to_owned(), bytes))).await;
    newer_fields(&newer)
}

#[tokio::test]
async fn of_a_job_through_its_whole_life() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(3)).await;
    let key = keys::job(id.ulid());
    written_by_a_newer_version(&pool, &key).await;
    pool.claim(1, 1).await;
    assert_eq!(
        newer_fields(&stored(&pool, &key).await),
        2,
        "the record's and the job's"
    );
    let added = written_by_a_newer_version(&pool, &key).await;
    pool.cancel(&id).await;
    assert_eq!(
        newer_fields(&stored(&pool, &key).await),
        added,
        "the running state keeps its own"
    );
    assert!(pool.finish(&id, 1, RunEnd::Succeeded).await.is_ok());
    assert!(matches!(pool.state(&id).await, State::Succeeded { .. }));
    assert!(newer_fields(&stored(&pool, &key).await) >= 2);
}

#[tokio::test]
async fn of_ended_attempts() {
    let pool = Pool::new();
    let id = pool.submit_one(retried(3)).await;
    for attempt in 1..=2 {
        pool.claim(1, 1).await;
        let end = RunEnd::Failed(Cause::Disk);
        assert!(pool.finish(&id, attempt, end).await.is_ok());
        let key = keys::attempts(&id);
        if attempt == 1 {
            assert!(written_by_a_newer_version(&pool, &key).await >= 3);
        } else {
            assert!(newer_fields(&stored(&pool, &key).await) >= 3);
        }
    }
    let attempts = pool.ledger.detail(&id).await.unwrap().unwrap().attempts;
    assert_eq!(attempts.len(), 2);
    pool.check().await;
}

#[tokio::test]
async fn of_logs_agents_names_and_beats() {
    let pool = Pool::with_reapers().await;
    let id = pool.submit_one(retried(1)).await;
    pool.claim(1, 1).await;
    let chunk = |offset: u64| LogChunk {
        offset,
        bytes: b"line".to_vec(),
    };
    pool.ledger.append_log(&lease(&id, 1), &chunk(0)).await.unwrap();
    pool.ledger.enrol(&record(1)).await.unwrap();
    pool.ledger.set_draining(&agent(1).name, true).await.unwrap();
    let written = [
        keys::log_record(&id, 1),
        keys::agent(&agent(1).id),
        keys::agent_name(&agent(1).name),
        keys::BEAT.to_owned(),
    ];
    for key in &written {
        assert!(written_by_a_newer_version(&pool, key).await >= 1, "{key}");
    }
    pool.ledger.append_log(&lease(&id, 1), &chunk(4)).await.unwrap();
    pool.ledger.enrol(&record(1)).await.unwrap();
    pool.ledger.set_draining(&agent(1).name, false).await.unwrap();
    pool.advance(BEAT);
    assert!(pool.ledger.reap(TTL).await.unwrap().beat);
    for key in &written {
        assert!(newer_fields(&stored(&pool, key).await) >= 1, "{key}");
    }
    assert!(!pool.ledger.draining(&agent(1).name).await.unwrap());
}
