//! Writers that commit new records until they are told to stop, and remember what was acknowledged to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nexus::{Class, Durability, Guard, Key, Nexus, Outcome, Space, Transaction, TxId};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Writers at the same time.
const N_WRITERS: u64 = 16;
/// Transactions in a commit.
pub(crate) const BATCH: u64 = 4;
/// The pause of a writer whose commit failed.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the progress of the load is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What the writers know.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    /// The records whose commit was answered with `Applied`, and when that answer came.
    pub(crate) records: Vec<(Key, Instant)>,
    /// Records of commits that failed: nobody may rely on them.
    pub(crate) n_failed: u64,
}

/// A running load.
pub(crate) struct Load {
    writers: JoinSet<Result<Acknowledged>>,
    stop: watch::Sender<bool>,
    progress: Arc<Progress>,
}

/// How far all writers together are.
#[derive(Debug, Default)]
struct Progress {
    n_acknowledged: AtomicU64,
    n_failed: AtomicU64,
}

impl Load {
    /// Starts the writers.
    pub(crate) fn start(nexus: &Arc<dyn Nexus>, space: &Space, ids: &Ids) -> Self {
        let (stop, _) = watch::channel(false);
        let progress = Arc::new(Progress::default());
        let mut writers = JoinSet::new();
        for _ in 0..N_WRITERS {
            writers.spawn(write(
                Arc::clone(nexus),
                space.clone(),
                ids.clone(),
                stop.subscribe(),
                Arc::clone(&progress),
            ));
        }
        Self {
            writers,
            stop,
            progress,
        }
    }

    /// Waits until `n` more records have been acknowledged, or until `limit` has passed. Returns how many have.
    pub(crate) async fn go_on(&self, n: u64, limit: Duration) -> u64 {
        let before = self.progress.n_acknowledged.load(Ordering::Acquire);
        let more = || self.progress.n_acknowledged.load(Ordering::Acquire) - before;
        until(limit, || more() >= n).await;
        more()
    }

    /// Waits until a commit has failed, or until `limit` has passed.
    pub(crate) async fn go_on_until_refused(&self, limit: Duration) {
        until(limit, || self.progress.n_failed.load(Ordering::Acquire) > 0).await;
    }

    /// Lets each writer end its commit, and gathers what they know.
    pub(crate) async fn stop(mut self) -> Result<Acknowledged> {
        self.stop.send_replace(true);
        let mut all = Acknowledged::default();
        while let Some(one) = self.writers.join_next().await {
            let one = one.context("a writer panicked")??;
            all.records.extend(one.records);
            all.n_failed += one.n_failed;
        }
        Ok(all)
    }
}

async fn until(limit: Duration, is_so: impl Fn() -> bool) {
    let began_at = Instant::now();
    while !is_so() && began_at.elapsed() < limit {
        sleep(LOOK).await;
    }
}

/// Where the ids of transactions come from: distinct numbers, in an order that the seed decides.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    seed: u64,
    next: Arc<AtomicU64>,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            next: Arc::default(),
        }
    }

    fn next(&self) -> TxId {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        // An odd factor makes this a permutation of the numbers.
        TxId(self.seed.wrapping_add(n).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

async fn write(
    nexus: Arc<dyn Nexus>,
    space: Space,
    ids: Ids,
    stop: watch::Receiver<bool>,
    progress: Arc<Progress>,
) -> Result<Acknowledged> {
    let mut known = Acknowledged::default();
    while !*stop.borrow() {
        let ids: Vec<TxId> = (0..BATCH).map(|_| ids.next()).collect();
        let transactions = ids.iter().map(|id| creation(*id)).collect();
        let Ok(outcomes) = nexus.commit(&space, transactions, Durability::Disk).await else {
            known.n_failed += BATCH;
            progress.n_failed.fetch_add(BATCH, Ordering::AcqRel);
            sleep(PAUSE).await;
            continue;
        };
        let now = Instant::now();
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            ensure!(
                outcome == Outcome::Applied,
                "a new record was answered with {outcome:?}"
            );
            known.records.push((key(id), now));
        }
        progress.n_acknowledged.fetch_add(BATCH, Ordering::AcqRel);
    }
    Ok(known)
}

/// Makes one new record of the size of a small job.
fn creation(id: TxId) -> Transaction {
    Transaction {
        guards: vec![Guard::Record(key(id), None)],
        puts: vec![(key(id), vec![b'x'; 200])],
        ..Transaction::new(id, Class::Growth)
    }
}

fn key(TxId(id): TxId) -> Key {
    format!("job/{id:016x}")
}
