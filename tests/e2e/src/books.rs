//! The books of a system that has ended: its nexus, opened by us, and checked as a whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use ledger::fsck::fsck;
use ledger::{JournalEntry, keys};
use nexus::{Clock, Nexus, RedisConfig, RedisNexus, Space, SqliteNexus};

/// The space of the one pool.
const SPACE: &str = "pool/default";

/// What the check has found to be in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Books {
    /// Jobs on record, by their ULID, with the number of facts that ended them for good. All chains are intact.
    pub ends: BTreeMap<String, usize>,
}

impl Books {
    /// Reads the database of a system whose processes have all ended, and checks every place, set and chain of facts.
    ///
    /// # Errors
    /// It cannot be read, or something is wrong in it.
    pub fn check(database: &Path) -> Result<Self> {
        Self::of(async || {
            let nexus = SqliteNexus::open(database, Clock::system())
                .with_context(|| format!("open {}", database.display()))?;
            Ok(Arc::new(nexus) as Arc<dyn Nexus>)
        })
    }

    /// The same for a Redis.
    ///
    /// # Errors
    /// It cannot be read, or something is wrong in it.
    pub fn check_redis(config: RedisConfig) -> Result<Self> {
        Self::of(async || Ok(Arc::new(RedisNexus::open(config)?) as Arc<dyn Nexus>))
    }

    fn of(open: impl AsyncFnOnce() -> Result<Arc<dyn Nexus>>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let dump = runtime.block_on(async {
            let nexus = open().await?;
            let dump = nexus.dump(&Space::new(SPACE)?).await?;
            nexus.close().await?;
            anyhow::Ok(dump)
        })?;
        let findings = fsck(&dump);
        ensure!(findings.is_empty(), "fsck finds {findings:#?}");
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for key in dump.records.keys() {
            if let Some(ulid) = key.strip_prefix(keys::JOB_PREFIX) {
                ends.insert(ulid.to_owned(), 0);
            }
        }
        for entry in dump
            .logs
            .get(keys::JOURNAL)
            .map(|log| log.entries.as_slice())
            .unwrap_or_default()
        {
            let (entry, _) = JournalEntry::read(&entry.bytes)?;
            *ends.entry(entry.ulid).or_default() += usize::from(entry.state.is_terminal());
        }
        Ok(Self { ends })
    }

    /// The number of jobs.
    pub fn jobs(&self) -> usize {
        self.ends.len()
    }

    /// Fails unless every job has ended, and once.
    ///
    /// # Errors
    /// One has not, or has more than one end.
    pub fn all_ended_once(&self) -> Result<()> {
        let wrong: Vec<_> = self.ends.iter().filter(|(_, ends)| **ends != 1).collect();
        ensure!(
            wrong.is_empty(),
            "jobs with another number of ends than one: {wrong:?}"
        );
        Ok(())
    }
}
