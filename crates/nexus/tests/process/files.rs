//! The files: who may open them, with which mode, and what a close leaves behind.
//!
//! Nothing here opens a database while a nexus has it open: the locks of SQLite would be lost (see `sqlite/lock.rs`).

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hiveforge_nexus::{Clock, Durability, Nexus as _, NexusError, OpenError, SqliteNexus};
use rusqlite::Connection;

use crate::history::{check, space, submit};

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn a_second_owner_is_refused_also_through_a_link_and_until_the_first_has_closed() {
    let directory = tempfile::tempdir().unwrap();
    let (database, link) = (
        directory.path().join("nexus.db"),
        directory.path().join("link.db"),
    );
    let first = SqliteNexus::open(&database, Clock::system()).unwrap();
    std::os::unix::fs::symlink(&database, &link).unwrap();
    for path in [&database, &link] {
        assert!(matches!(
            SqliteNexus::open(path, Clock::system()),
            Err(OpenError::InUse { .. })
        ));
    }
    first.close().await.unwrap();
    SqliteNexus::open(&link, Clock::system()).unwrap();
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let nexus = SqliteNexus::open(&directory.path().join("nexus.db"), Clock::system()).unwrap();
    nexus
        .commit(&space(), vec![submit(1)], Durability::Disk)
        .await
        .unwrap();
    let files = names(directory.path());
    assert_eq!(
        files.iter().map(|name| &name[8..]).collect::<Vec<_>>(),
        ["", "-shm", "-wal", ".lock", ".reserve"]
    );
    for name in files {
        let mode = std::fs::metadata(directory.path().join(&name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_close_leaves_everything_in_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("nexus.db");
    let nexus = SqliteNexus::open(&database, Clock::system()).unwrap();
    nexus
        .commit(&space(), (1..100).map(submit).collect(), Durability::Process)
        .await
        .unwrap();
    nexus.size(&space(), "listing").await.unwrap();
    nexus.close().await.unwrap();
    assert_eq!(
        names(directory.path()),
        ["nexus.db", "nexus.db.lock", "nexus.db.reserve"]
            .map(str::to_owned)
            .into()
    );
    let copy = directory.path().join("copy.db");
    std::fs::copy(&database, &copy).unwrap();
    assert_eq!(check(&copy, &(1..100).collect()).await.len(), 99);
}

#[tokio::test]
async fn dropping_the_nexus_finishes_what_was_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("nexus.db");
    let nexus = SqliteNexus::open(&database, Clock::system()).unwrap();
    nexus
        .commit(&space(), vec![submit(1)], Durability::Process)
        .await
        .unwrap();
    nexus.size(&space(), "listing").await.unwrap();
    drop(nexus);
    assert!(!names(directory.path()).contains("nexus.db-wal"));
    check(&database, &BTreeSet::from([1])).await;
}

#[test]
fn a_file_that_is_no_database_or_not_ours_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "no database, but long enough to look at: ".repeat(100)).unwrap();
    assert!(matches!(
        SqliteNexus::open(&text, Clock::system()),
        Err(OpenError::Sqlite(_))
    ));
    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a)")
        .unwrap();
    let before = std::fs::read(&foreign).unwrap();
    assert!(matches!(
        SqliteNexus::open(&foreign, Clock::system()),
        Err(OpenError::Foreign { .. })
    ));
    assert_eq!(std::fs::read(&foreign).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file_is_reported_as_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("nexus.db");
    let nexus = SqliteNexus::open(&database, Clock::system()).unwrap();
    nexus
        .commit(&space(), (1..1_000).map(submit).collect(), Durability::Process)
        .await
        .unwrap();
    nexus.close().await.unwrap();
    let mut bytes = std::fs::read(&database).unwrap();
    let intact = bytes.len() / 4;
    bytes[intact..].fill(0x5a);
    std::fs::write(&database, bytes).unwrap();
    let nexus = SqliteNexus::open(&database, Clock::system()).unwrap();
    let failure = nexus.dump(&space()).await.unwrap_err();
    assert!(matches!(failure, NexusError::Corrupt(_)), "{failure:?}");
}
