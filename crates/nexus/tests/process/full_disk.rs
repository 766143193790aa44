//! A disk without room: growth is turned away, relief passes with the help of the reserve, and nothing acknowledged is lost.
//!
//! The disk is a small file system of its own, which only a process in its own mount namespace may create.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use hiveforge_nexus::{
    Append, Class, Clock, Discard, Durability, Nexus as _, NexusError, Outcome, SqliteNexus, Transaction,
    TxId,
};

use crate::child;
use crate::history::space;

const NAMESPACE: [&str; 4] = ["unshare", "-rm", "sh", "-c"];
const RECORD_BYTES: usize = 40_000;
/// What others have on the disk, until they remove it.
const OTHERS_BYTES: usize = 8 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn on_a_full_disk_growth_is_refused_and_relief_passes() {
    let directory = tempfile::tempdir().unwrap();
    let mount = format!(
        "mount -t tmpfs -o size=32m tmpfs {} || exit 77",
        directory.path().display()
    );
    let database = directory.path().join("nexus.db");
    let test = "full_disk::child_fills_its_disk";
    let output = child::command_after(&NAMESPACE, &mount, test, &database).output();
    let failure = match &output {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned(),
        Err(error) => error.to_string(),
    };
    let has_run = failure.contains("running 1 test");
    let must_run = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!has_run && !must_run, "{failure}");
    eprintln!("skipped: this machine lets no test mount a file system: {failure}");
}

#[test]
#[ignore = "run as a child by the test above"]
fn child_fills_its_disk() {
    child::block_on(async {
        let database = child::database();
        let reserve = database.with_file_name("nexus.db.reserve");
        let others = database.with_file_name("others");
        std::fs::write(&others, vec![0; OTHERS_BYTES]).unwrap();
        let mut jobs = Jobs::default();
        let nexus = SqliteNexus::open(&database, Clock::system()).unwrap();
        assert!(reserve.exists());

        jobs.submit_until_full(&nexus).await;
        let filler = database.with_file_name("filler");
        fill(&filler);
        assert_eq!(jobs.submit(&nexus).await, Outcome::Full);
        let known = jobs.known_submit();
        assert_eq!(
            commit(&nexus, known).await.unwrap(),
            Outcome::Already,
            "a lost answer can be learned all the same"
        );

        jobs.finish_while(&nexus, || reserve.exists()).await;
        assert_eq!(jobs.submit(&nexus).await, Outcome::Full);
        jobs.finish_some(&nexus, 20).await;
        nexus.close().await.unwrap();
        let nexus = SqliteNexus::open(&database, Clock::system()).unwrap();
        jobs.finish_some(&nexus, 5).await;

        std::fs::remove_file(&filler).unwrap();
        std::fs::remove_file(&others).unwrap();
        jobs.drop_half(&nexus).await;
        jobs.submit_until_applied(&nexus).await;
        assert!(reserve.exists(), "the reserve is filled again");
        nexus.close().await.unwrap();

        let nexus = SqliteNexus::open(&database, Clock::system()).unwrap();
        jobs.check(&nexus).await;
        nexus.close().await.unwrap();
    });
}

/// What was acknowledged: the version of each job.
#[derive(Default)]
struct Jobs {
    versions: BTreeMap<u64, u64>,
    finished: u64,
    next: u64,
}

impl Jobs {
    fn tx(&mut self, class: Class) -> Transaction {
        self.next += 1;
        Transaction::new(TxId(self.next), class)
    }

    async fn submit(&mut self, nexus: &SqliteNexus) -> Outcome {
        let mut tx = self.tx(Class::Growth);
        let id = tx.id.0;
        tx.puts = vec![(key(id), vec![1; RECORD_BYTES])];
        let outcome = commit(nexus, tx).await.unwrap();
        if outcome == Outcome::Applied {
            self.versions.insert(id, id);
        }
        outcome
    }

    /// The first submit as it was sent.
    fn known_submit(&self) -> Transaction {
        let mut tx = Transaction::new(TxId(1), Class::Growth);
        tx.puts = vec![(key(1), vec![1; RECORD_BYTES])];
        tx
    }

    async fn submit_until_full(&mut self, nexus: &SqliteNexus) {
        let deadline = Instant::now() + PATIENCE;
        while self.submit(nexus).await == Outcome::Applied {
            assert!(Instant::now() < deadline, "the disk does not fill");
        }
        assert!(
            self.versions.len() > 200,
            "full after {} jobs",
            self.versions.len()
        );
    }

    async fn submit_until_applied(&mut self, nexus: &SqliteNexus) {
        let deadline = Instant::now() + PATIENCE;
        while self.submit(nexus).await != Outcome::Applied {
            assert!(Instant::now() < deadline, "growth is still refused");
        }
    }

    /// Ends jobs, which writes as much as it began with, until a condition no longer holds.
    async fn finish_while(&mut self, nexus: &SqliteNexus, is_wanted: impl Fn() -> bool) {
        while is_wanted() {
            self.finish_some(nexus, 1).await;
            assert!(self.finished < 2_000, "the reserve was not needed");
        }
    }

    async fn finish_some(&mut self, nexus: &SqliteNexus, n: usize) {
        let ids: Vec<u64> = self.versions.keys().rev().take(n).copied().collect();
        for id in ids {
            let mut tx = self.tx(Class::Relief);
            let version = tx.id.0;
            tx.puts = vec![(key(id), vec![2; RECORD_BYTES])];
            tx.appends = vec![Append {
                log: "journal".to_owned(),
                thread: Some(key(id)),
                bytes: vec![3; 5_000],
            }];
            assert_eq!(
                commit(nexus, tx).await.unwrap(),
                Outcome::Applied,
                "after {} jobs",
                self.finished
            );
            self.versions.insert(id, version);
            self.finished += 1;
        }
    }

    async fn drop_half(&mut self, nexus: &SqliteNexus) {
        let ids: Vec<u64> = self.versions.keys().step_by(2).copied().collect();
        let mut tx = self.tx(Class::Relief);
        tx.drops = ids.iter().map(|id| Discard::Record(key(*id))).collect();
        assert_eq!(commit(nexus, tx).await.unwrap(), Outcome::Applied);
        for id in ids {
            self.versions.remove(&id);
        }
    }

    async fn check(&self, nexus: &SqliteNexus) {
        let dump = nexus.dump(&space()).await.unwrap();
        let stored = dump
            .records
            .iter()
            .map(|(key, record)| (key.clone(), record.version.0));
        let expected = self.versions.iter().map(|(id, version)| (key(*id), *version));
        assert_eq!(stored.collect::<BTreeMap<_, _>>(), expected.collect());
        assert_eq!(nexus.log_len(&space(), "journal").await.unwrap(), self.finished);
    }
}

async fn commit(nexus: &SqliteNexus, tx: Transaction) -> Result<Outcome, NexusError> {
    Ok(nexus
        .commit(&space(), vec![tx], Durability::Disk)
        .await?
        .remove(0))
}

fn key(id: u64) -> String {
    format!("job/{id:06}")
}

/// Takes all the room there is.
fn fill(path: &Path) {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .unwrap();
    for bytes in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; bytes]).is_ok() {}
    }
}
