//! A disk that fails in the middle of a commit.
//!
//! A limit on the size of files makes the kernel refuse writes with an error that is not "no room", which for SQLite is a
//! broken disk. Nobody can know then what was written, so the nexus must say so and stop.

use std::collections::BTreeSet;

use hiveforge_nexus::{Clock, Durability, Nexus as _, NexusError, Outcome, SqliteNexus};

use crate::child;
use crate::history::{check, space, submit};

#[test]
fn after_a_failed_commit_the_nexus_writes_no_more_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("nexus.db");
    // The limit is in blocks of 512 or 1024 bytes, depending on the shell. Being told by error, not by signal, is inherited.
    let preparation = "trap '' XFSZ && ulimit -f 4000";
    let test = "broken_disk::child_commits_until_the_disk_breaks";
    let output = child::command_after(&["sh", "-c"], preparation, test, &database)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let acknowledged: BTreeSet<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("ack ")?.parse().ok())
        .collect();
    assert!(acknowledged.len() > 10);
    child::block_on(check(&database, &acknowledged));
}

#[test]
#[ignore = "run as a child by the test above"]
fn child_commits_until_the_disk_breaks() {
    child::block_on(async {
        let nexus = SqliteNexus::open(&child::database(), Clock::system()).unwrap();
        let commit = async |id: u64| nexus.commit(&space(), vec![submit(id)], Durability::Disk).await;
        let mut id = 1;
        let failure = loop {
            match commit(id).await {
                Ok(outcomes) => assert_eq!(outcomes, [Outcome::Applied]),
                Err(failure) => break failure,
            }
            println!("\nack {id}");
            id += 1;
            assert!(id < 100_000, "the disk did not break");
        };
        assert!(
            matches!(failure, NexusError::OutcomeUnknown(_) | NexusError::Halted),
            "{failure:?}"
        );
        assert!(matches!(commit(id + 1).await, Err(NexusError::Halted)));
        assert!(matches!(
            nexus.take(&space(), vec![]).await,
            Err(NexusError::Halted)
        ));
        assert!(nexus.size(&space(), "listing").await.unwrap() >= id - 1);
        nexus.close().await.unwrap();
    });
}
