//! Seeded damage: fsck finds each.

use domain::job::{JOBS, leases_set};
use ledger::fsck::{Finding, fsck};
use ledger::keys;
use nexus::{Dump, Move, Score};

use crate::pool::{Pool, agent, spec};

/// A pool with a queued and a running job.
async fn pool() -> (Pool, String, String) {
    let pool = Pool::new();
    let ids = pool.submit(vec![spec(); 2]).await;
    pool.claim(1, 1).await;
    pool.check().await;
    let ulid = |n: usize| ids[n].ulid().to_owned();
    let (running, queued) = (ulid(0), ulid(1));
    (pool, running, queued)
}

async fn moved(pool: &Pool, set: &str, member: &str, score: Option<u64>) -> Vec<Finding> {
    let (set, member) = (set.to_owned(), member.to_owned());
    let score = score.map(Score::saturating);
    pool.damage(|tx| tx.moves.push(Move { set, member, score })).await;
    fsck(&pool.dump().await)
}

fn about(findings: &[Finding], ulid: &str) -> usize {
    findings.iter().filter(|finding| finding.about == ulid).count()
}

#[tokio::test]
async fn a_missing_place_is_found() {
    let (pool, running, queued) = pool().await;
    let lane = pool.ledger.lanes().await.unwrap().remove(0).set();
    assert_eq!(about(&moved(&pool, &lane, &queued, None).await, &queued), 1);
    let leases = leases_set(&agent(1).id);
    assert_eq!(about(&moved(&pool, &leases, &running, None).await, &running), 1);
    assert_eq!(moved(&pool, JOBS, &running, None).await.len(), 3);
}

#[tokio::test]
async fn a_place_at_the_wrong_score_is_found() {
    let (pool, _, queued) = pool().await;
    let lane = pool.ledger.lanes().await.unwrap().remove(0).set();
    assert_eq!(about(&moved(&pool, &lane, &queued, Some(1)).await, &queued), 1);
}

#[tokio::test]
async fn an_extra_place_is_found() {
    for set in ["lane/cpu=0;mem=0", "timers", "waiting/licence", "group/licence"] {
        let (pool, running, _) = pool().await;
        let findings = moved(&pool, set, &running, Some(1)).await;
        assert_eq!(about(&findings, &running), 1, "{set}: {findings:?}");
    }
    let (pool, running, _) = pool().await;
    let findings = moved(&pool, &leases_set(&agent(2).id), &running, Some(1)).await;
    assert_eq!(about(&findings, &running), 1);
}

#[tokio::test]
async fn a_job_that_is_held_and_claimable_at_once_is_found() {
    let (pool, _, queued) = pool().await;
    let findings = moved(&pool, keys::HELD, &queued, Some(1)).await;
    assert_eq!(about(&findings, &queued), 1);
}

#[tokio::test]
async fn a_running_job_that_is_held_is_found() {
    let (pool, running, _) = pool().await;
    let findings = moved(&pool, keys::HELD, &running, Some(1)).await;
    assert_eq!(about(&findings, &running), 1);
}

#[tokio::test]
async fn places_of_unknown_jobs_and_unknown_duties_are_found() {
    let (pool, ..) = pool().await;
    let nobody = "01k2b3c4d5e6f7g8h9j0kmnpqr";
    assert_eq!(about(&moved(&pool, keys::HELD, nobody, Some(1)).await, nobody), 1);
    assert_eq!(about(&moved(&pool, JOBS, nobody, Some(1)).await, nobody), 2);
    assert_eq!(moved(&pool, "followups", "dance", Some(1)).await.len(), 3);
}

#[tokio::test]
async fn a_group_that_nobody_serves_is_found() {
    let pool = Pool::new();
    let id = pool.submit_one(crate::pool::grouped("licence", 1)).await;
    pool.check().await;
    let findings = moved(&pool, "followups", "group/licence", None).await;
    assert_eq!(about(&findings, id.ulid()), 1);
}

#[tokio::test]
async fn a_missing_spec_and_an_unreadable_record_are_found() {
    let (pool, running, queued) = pool().await;
    pool.drop_record(keys::spec(&queued)).await;
    assert_eq!(about(&fsck(&pool.dump().await), &queued), 1);
    pool.poison(keys::job(&running)).await;
    assert!(about(&fsck(&pool.dump().await), &running) >= 1);
}

/// The findings after a change of the journal of a sound pool.
async fn journal(change: impl FnOnce(&mut Dump, &str)) -> Vec<Finding> {
    let (pool, running, _) = pool().await;
    let mut dump = pool.dump().await;
    change(&mut dump, &running);
    let findings = fsck(&dump);
    assert!(
        findings
            .iter()
            .all(|finding| finding.about == running || finding.about == "journal")
    );
    findings
}

fn of(dump: &mut Dump, ulid: &str) -> Vec<usize> {
    let entries = &dump.logs[keys::JOURNAL].entries;
    let own = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.thread.as_deref() == Some(ulid));
    own.map(|(index, _)| index).collect()
}

#[tokio::test]
async fn an_edited_fact_is_found() {
    for nth in 0..2 {
        let findings = journal(|dump, ulid| {
            let index = of(dump, ulid)[nth];
            let bytes = &mut dump.logs.get_mut(keys::JOURNAL).unwrap().entries[index].bytes;
            let (mut entry, _) = ledger::JournalEntry::read(bytes).unwrap();
            entry.at.0 += 1;
            *bytes = entry.seal().0;
        })
        .await;
        assert_eq!(findings.len(), 1, "fact {nth}: {findings:?}");
    }
}

#[tokio::test]
async fn a_gap_in_the_facts_is_found() {
    for nth in 0..2 {
        let findings = journal(|dump, ulid| {
            let index = of(dump, ulid)[nth];
            dump.logs.get_mut(keys::JOURNAL).unwrap().entries.remove(index);
        })
        .await;
        assert!(!findings.is_empty(), "fact {nth}");
    }
}

#[tokio::test]
async fn damaged_bytes_in_the_journal_are_found() {
    let findings = journal(|dump, ulid| {
        let index = of(dump, ulid)[0];
        dump.logs.get_mut(keys::JOURNAL).unwrap().entries[index]
            .bytes
            .truncate(3);
    })
    .await;
    assert!(findings.iter().any(|finding| finding.about == "journal"));
}

#[tokio::test]
async fn a_repeated_fact_is_found() {
    let findings = journal(|dump, ulid| {
        let index = of(dump, ulid)[1];
        let entries = &mut dump.logs.get_mut(keys::JOURNAL).unwrap().entries;
        let again = entries[index].clone();
        entries.push(again);
    })
    .await;
    assert!(!findings.is_empty());
}

#[tokio::test]
async fn a_wrong_head_is_found() {
    let (pool, running, _) = pool().await;
    let mut dump = pool.dump().await;
    let stored = dump.records.get_mut(&keys::job(&running)).unwrap();
    let mut record: ledger::record::JobRecord = ledger::record::decode("job", &stored.bytes).unwrap();
    record.head = domain::Digest::of(b"another");
    stored.bytes = ledger::record::encode(&record);
    assert_eq!(about(&fsck(&dump), &running), 1);
}

#[tokio::test]
async fn facts_without_a_record_are_found() {
    let (pool, running, _) = pool().await;
    let mut dump = pool.dump().await;
    dump.records.remove(&keys::job(&running));
    assert!(about(&fsck(&dump), &running) >= 1);
}
