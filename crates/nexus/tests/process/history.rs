//! Transactions that leave a trace in every kind of thing, and the check that each left all of its traces or none.
//!
//! An id is all that must be remembered of a transaction: everything it wrote can be derived from it.

use std::collections::BTreeSet;
use std::path::Path;

use hiveforge_nexus::{
    Append, Class, Clock, Dump, Guard, Move, Nexus as _, Score, Space, SqliteNexus, Transaction, TxId,
};
use rusqlite::Connection;

const JOURNAL: &str = "journal";
const COUNTER: &str = "submitted";
const LANES: u64 = 3;

pub(crate) fn space() -> Space {
    Space::new("pool/default").unwrap()
}

/// Two records, two places, one entry of a thread and a count, all named after the id.
pub(crate) fn submit(id: u64) -> Transaction {
    let mut tx = Transaction::new(TxId(id), Class::Growth);
    let score = Some(Score::saturating(id));
    tx.guards = vec![Guard::Record(format!("job/{id}"), None)];
    tx.puts = vec![
        (format!("job/{id}"), vec![1; 250]),
        (format!("spec/{id}"), vec![2; 250]),
    ];
    tx.moves = vec![
        Move {
            set: format!("lane/{}", id % LANES),
            member: id.to_string(),
            score,
        },
        Move {
            set: "listing".to_owned(),
            member: id.to_string(),
            score,
        },
    ];
    tx.adds = vec![(COUNTER.to_owned(), 1)];
    tx.appends = vec![Append {
        log: JOURNAL.to_owned(),
        thread: Some(id.to_string()),
        bytes: vec![3; 120],
    }];
    tx
}

/// Opens the database as its owner would, and checks everything that must hold whatever happened: SQLite finds it sound,
/// each transaction is there whole or not at all, and what is acknowledged is there. Returns what is there.
pub(crate) async fn check(database: &Path, acknowledged: &BTreeSet<u64>) -> BTreeSet<u64> {
    let nexus = SqliteNexus::open(database, Clock::system()).unwrap();
    let dump = nexus.dump(&space()).await.unwrap();
    let present = check_whole(&dump);
    let heads = nexus.heads(&space(), "lane", 10).await.unwrap();
    let lanes = dump.sets.iter().filter(|(set, _)| set.starts_with("lane/"));
    let first = lanes
        .map(|(set, members)| (members.first().unwrap().0, set.clone()))
        .collect::<BTreeSet<_>>();
    assert_eq!(
        heads,
        first
            .into_iter()
            .map(|(score, set)| (set, score))
            .collect::<Vec<_>>()
    );
    for (set, members) in &dump.sets {
        assert_eq!(
            nexus.size(&space(), set).await.unwrap(),
            members.len() as u64,
            "size of {set}"
        );
    }
    nexus.close().await.unwrap();
    check_sound(database);
    let lost: Vec<_> = acknowledged.difference(&present).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    present
}

fn check_whole(dump: &Dump) -> BTreeSet<u64> {
    let ids = |prefix: &str| -> BTreeSet<u64> {
        dump.records
            .keys()
            .filter_map(|key| key.strip_prefix(prefix)?.parse().ok())
            .collect()
    };
    let present = ids("job/");
    assert_eq!(ids("spec/"), present);
    let members = |is_wanted: fn(&str) -> bool| -> Vec<u64> {
        let sets = dump.sets.iter().filter(|(set, _)| is_wanted(set));
        let mut members: Vec<u64> = sets
            .flat_map(|(_, members)| members)
            .map(|(_, member)| member.parse().unwrap())
            .collect();
        members.sort_unstable();
        members
    };
    let once: Vec<u64> = present.iter().copied().collect();
    assert_eq!(members(|set| set == "listing"), once);
    assert_eq!(members(|set| set.starts_with("lane/") || set == "held"), once);
    if let Some(journal) = dump.logs.get(JOURNAL) {
        let threads: BTreeSet<u64> = journal
            .entries
            .iter()
            .map(|entry| entry.thread.as_ref().unwrap().parse().unwrap())
            .collect();
        assert_eq!(
            (journal.len, journal.entries.len(), threads),
            (once.len() as u64, once.len(), present.clone())
        );
    }
    assert_eq!(
        dump.counters.get(COUNTER).copied().unwrap_or(0),
        once.len() as i64
    );
    present
}

fn check_sound(database: &Path) {
    let connection = Connection::open(database).unwrap();
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    let orphans = "SELECT (SELECT count(*) FROM members WHERE set_id NOT IN (SELECT id FROM sets))
                        + (SELECT count(*) FROM entries WHERE log_id NOT IN (SELECT id FROM logs))";
    assert_eq!(
        connection
            .query_row(orphans, [], |row| row.get::<_, i64>(0))
            .unwrap(),
        0
    );
}
