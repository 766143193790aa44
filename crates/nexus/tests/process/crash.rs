//! Kills at random moments: a child commits as fast as it can and says what was acknowledged, until SIGKILL ends it.
//!
//! The database is the same in all rounds, so every round also begins with what the last crash left.
//! `HIVEFORGE_SEED` repeats the moments of an earlier run.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use hiveforge_nexus::{
    Clock, Demand, Durability, Hold, Nexus as _, NexusError, OpenError, Outcome, Score, SqliteNexus,
};

use crate::child;
use crate::history::{check, space, submit};

const ROUNDS: u64 = 12;
/// A child is killed after at most so many lines of output, which are acknowledgements but for the first few.
const LINES_MAX: u64 = 3_000;
const CALLERS: u64 = 8;
const READY: &str = "ready";
const FIRST_ID: &str = "HIVEFORGE_TEST_FIRST_ID";

#[test]
fn a_killed_process_loses_nothing_it_acknowledged_and_leaves_nothing_half_done() {
    let seed = match std::env::var("HIVEFORGE_SEED") {
        Ok(seed) => seed.parse().expect("HIVEFORGE_SEED is a number"),
        Err(_) => RandomState::new().hash_one("seed"),
    };
    eprintln!("HIVEFORGE_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("nexus.db");
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let kill_after = splitmix(seed.wrapping_add(round)) % LINES_MAX;
        acknowledged.extend(commit_until_killed(&database, round, kill_after));
        let present = child::block_on(check(&database, &acknowledged));
        let unknown = present.len() - acknowledged.len();
        eprintln!(
            "round {round}: killed after {kill_after} lines, {} there, {unknown} of them unacknowledged",
            present.len()
        );
        acknowledged = present;
    }
    assert!(acknowledged.len() > 1_000, "the children did next to nothing");
}

/// One round: the ids that a child acknowledged before its end.
fn commit_until_killed(database: &Path, round: u64, kill_after: u64) -> BTreeSet<u64> {
    let mut command = child::command("crash::child_commits_until_it_is_killed", database);
    command
        .env(FIRST_ID, (round * 1_000_000 + 1).to_string())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut seen: Vec<String> = lines
        .by_ref()
        .take(usize::try_from(kill_after).unwrap())
        .collect();
    if seen.iter().any(|line| line == READY) {
        let second = SqliteNexus::open(database, Clock::system());
        assert!(
            matches!(second, Err(OpenError::InUse { .. })),
            "two owners: {second:?}"
        );
    }
    child.kill().unwrap();
    seen.extend(lines);
    child.wait().unwrap();
    seen.iter()
        .filter_map(|line| line.strip_prefix("ack ")?.strip_suffix('.')?.parse().ok())
        .collect()
}

#[test]
#[ignore = "run as a child by the test above"]
fn child_commits_until_it_is_killed() {
    let next = Arc::new(AtomicU64::new(std::env::var(FIRST_ID).unwrap().parse().unwrap()));
    child::block_on(async {
        let nexus = SqliteNexus::open(&child::database(), Clock::system()).unwrap();
        println!("\n{READY}");
        join_all((0..CALLERS).map(|caller| submit_forever(&nexus, &next, caller))).await;
    });
}

/// Submits in batches of different sizes, half of them for the disk, and takes in between.
async fn submit_forever(nexus: &SqliteNexus, next: &AtomicU64, caller: u64) {
    let durability = if caller.is_multiple_of(2) {
        Durability::Disk
    } else {
        Durability::Process
    };
    loop {
        let n = 1 + caller;
        let first = next.fetch_add(n, Ordering::Relaxed);
        let batch = (first..first + n).map(submit).collect();
        let outcomes = nexus.commit(&space(), batch, durability).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
        let acks: String = (first..first + n).map(|id| format!("ack {id}.\n")).collect();
        std::io::stdout().lock().write_all(acks.as_bytes()).unwrap();
        take_some(nexus).await.unwrap();
    }
}

async fn take_some(nexus: &SqliteNexus) -> Result<(), NexusError> {
    let hold = Hold {
        set: "held".to_owned(),
        until: Score::MAX,
    };
    let sets = vec!["lane/0".to_owned(), "lane/1".to_owned()];
    let demand = Demand {
        sets,
        n: 2,
        up_to: Score::MAX,
        hold,
        with: vec!["job/".to_owned()],
    };
    let taken = nexus.take(&space(), vec![demand]).await?.remove(0);
    assert!(taken.iter().all(|taken| taken.records[0].is_some()));
    Ok(())
}

fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}
