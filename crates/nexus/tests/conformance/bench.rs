//! A backend set up for one test, and the short forms in which the rules speak to it.
//!
//! A bench owns the directory of its backend; dropping it removes the files. The servers of Redis are started once for a
//! process and shared by its benches, each with a prefix of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use hiveforge_nexus::{
    Ascending, Clock, Demand, Descending, Durability, Hint, Hints, Hold, MemoryNexus, Nexus, NexusError,
    Outcome, RedisConfig, RedisNexus, RedisServers, Score, ServerAddr, Space, Span, SqliteNexus, Taken,
    Transaction,
};
use servers::{Cluster, Redis, RedisOptions, redis_or_skip};
use tempfile::TempDir;

static REDIS: LazyLock<Redis> = LazyLock::new(|| Redis::start(RedisOptions::default()).unwrap());
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(3).unwrap());

pub(crate) struct Bench {
    pub(crate) nexus: Arc<dyn Nexus>,
    pub(crate) space: Space,
    origin: Origin,
}

/// What a backend that keeps what it holds can be opened from again.
enum Origin {
    Memory,
    Directory(TempDir),
    Servers(RedisConfig),
}

impl Bench {
    fn new(nexus: impl Nexus, origin: Origin) -> Self {
        Self {
            nexus: Arc::new(nexus),
            space: space("pool/default"),
            origin,
        }
    }

    pub(crate) fn memory() -> Option<Self> {
        Some(Self::new(MemoryNexus::new(Clock::system()), Origin::Memory))
    }

    pub(crate) fn sqlite() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let nexus = open_file(&directory);
        Some(Self::new(nexus, Origin::Directory(directory)))
    }

    /// One Redis; `None` where none is installed.
    pub(crate) fn redis() -> Option<Self> {
        redis_or_skip().then(|| Self::over(RedisServers::Single(server(&REDIS))))
    }

    /// A cluster of three primaries; `None` where no Redis is installed.
    pub(crate) fn redis_cluster() -> Option<Self> {
        let seeds = || CLUSTER.members.iter().take(2).map(server).collect();
        redis_or_skip().then(|| Self::over(RedisServers::Cluster(seeds())))
    }

    fn over(servers: RedisServers) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut config = RedisConfig::new(servers);
        config.prefix = format!("hf-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self::new(RedisNexus::open(config.clone()).unwrap(), Origin::Servers(config))
    }

    /// Closes a backend that keeps what it holds, and opens it again.
    pub(crate) async fn reopen(&mut self) {
        let new: Arc<dyn Nexus> = match &self.origin {
            Origin::Memory => return,
            Origin::Directory(directory) => {
                self.nexus.close().await.unwrap();
                Arc::new(open_file(directory))
            }
            Origin::Servers(config) => {
                self.nexus.close().await.unwrap();
                Arc::new(RedisNexus::open(config.clone()).unwrap())
            }
        };
        self.nexus = new;
    }

    /// Watches, and waits until hints can be relied on: the link to a server says when it is up.
    pub(crate) async fn watch(&self) -> Hints {
        let mut hints = self.nexus.watch(&self.space);
        if matches!(self.origin, Origin::Servers(_)) {
            assert_eq!(hints.next().await, Some(Hint::Missed(0)));
        }
        hints
    }

    pub(crate) async fn close(&self) {
        self.nexus.close().await.unwrap();
    }

    pub(crate) async fn try_commit(
        &self,
        transactions: Vec<Transaction>,
    ) -> Result<Vec<Outcome>, NexusError> {
        self.nexus
            .commit(&self.space, transactions, Durability::Process)
            .await
    }

    pub(crate) async fn commit_all(&self, transactions: Vec<Transaction>) -> Vec<Outcome> {
        self.try_commit(transactions).await.unwrap()
    }

    pub(crate) async fn commit(&self, tx: Transaction) -> Outcome {
        self.commit_all(vec![tx]).await.remove(0)
    }

    pub(crate) async fn apply(&self, tx: Transaction) {
        assert_eq!(self.commit(tx).await, Outcome::Applied);
    }

    pub(crate) async fn value(&self, key: &str) -> Option<String> {
        let record = self
            .nexus
            .fetch(&self.space, &[key.to_owned()])
            .await
            .unwrap()
            .remove(0)?;
        Some(String::from_utf8(record.bytes).unwrap())
    }

    /// All members of a set, in order.
    pub(crate) async fn members(&self, set: &str) -> Vec<(u64, String)> {
        self.ascending(
            set,
            Ascending {
                after: None,
                up_to: None,
                n: 1_000,
            },
        )
        .await
    }

    pub(crate) async fn ascending(&self, set: &str, page: Ascending) -> Vec<(u64, String)> {
        plain(self.nexus.range(&self.space, set, page).await.unwrap())
    }

    pub(crate) async fn descending(&self, set: &str, page: Descending) -> Vec<(u64, String)> {
        plain(self.nexus.range_back(&self.space, set, page).await.unwrap())
    }

    pub(crate) async fn heads(&self, family: &str, n: usize) -> Vec<(String, u64)> {
        let heads = self.nexus.heads(&self.space, family, n).await.unwrap();
        heads.into_iter().map(|(set, score)| (set, score.get())).collect()
    }

    pub(crate) async fn take(&self, demands: Vec<Demand>) -> Vec<Vec<Taken>> {
        self.nexus.take(&self.space, demands).await.unwrap()
    }

    /// (position, bytes) of a stretch of a log.
    pub(crate) async fn log(&self, log: &str, from: u64, n: usize) -> Vec<(u64, String)> {
        let entries = self
            .nexus
            .read_log(&self.space, log, Span { from, n })
            .await
            .unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.position, String::from_utf8(entry.bytes).unwrap()))
            .collect()
    }

    pub(crate) async fn log_len(&self, log: &str) -> u64 {
        self.nexus.log_len(&self.space, log).await.unwrap()
    }

    pub(crate) async fn size(&self, set: &str) -> u64 {
        self.nexus.size(&self.space, set).await.unwrap()
    }

    pub(crate) async fn counter(&self, name: &str) -> i64 {
        self.nexus
            .counters(&self.space, &[name.to_owned()])
            .await
            .unwrap()
            .remove(0)
    }
}

fn open_file(directory: &TempDir) -> SqliteNexus {
    SqliteNexus::open(&directory.path().join("nexus.db"), Clock::system()).unwrap()
}

fn server(redis: &Redis) -> ServerAddr {
    ServerAddr::new(redis.addr().ip().to_string(), redis.addr().port())
}

pub(crate) fn space(name: &str) -> Space {
    Space::new(name).unwrap()
}

pub(crate) fn score(value: u64) -> Score {
    Score::new(value).unwrap()
}

/// A demand for `n` members up to a score, held in `held` until 99.
pub(crate) fn demand(sets: &[&str], n: usize, up_to: u64) -> Demand {
    Demand {
        sets: sets.iter().map(|&set| set.to_owned()).collect(),
        n,
        up_to: score(up_to),
        hold: Hold {
            set: "held".to_owned(),
            until: score(99),
        },
        with: Vec::new(),
    }
}

/// (set, member, score) of what was taken.
pub(crate) fn taken(answer: &[Taken]) -> Vec<(&str, &str, u64)> {
    answer
        .iter()
        .map(|taken| (taken.set.as_str(), taken.member.as_str(), taken.score.get()))
        .collect()
}

pub(crate) fn places(places: &[(u64, &str)]) -> Vec<(u64, String)> {
    places
        .iter()
        .map(|&(score, member)| (score, member.to_owned()))
        .collect()
}

fn plain(places: Vec<(Score, String)>) -> Vec<(u64, String)> {
    places
        .into_iter()
        .map(|(score, member)| (score.get(), member))
        .collect()
}
