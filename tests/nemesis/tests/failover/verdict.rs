//! Whether all is well in the end: the jobs as they are shown, what was acknowledged, what was started, and the store itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use domain::JobId;
use domain::job::StateName;
use ledger::fsck::fsck;
use nexus::{Nexus as _, RedisConfig, RedisNexus, RedisServers, Space};
use protocol::jobs::JobView;

/// The space of the one pool.
const SPACE: &str = "pool/default";

/// What is not as it must be: every acknowledged job is there and ended well, charged once, and there is no other.
pub(crate) fn complaints(acknowledged: &BTreeSet<JobId>, jobs: &BTreeMap<JobId, JobView>) -> Vec<String> {
    let lost = acknowledged
        .iter()
        .filter(|id| !jobs.contains_key(id))
        .map(|id| format!("{id} was acknowledged and is gone"));
    let unknown = jobs
        .keys()
        .filter(|id| !acknowledged.contains(id))
        .map(|id| format!("{id} is there and was never acknowledged: a repeated submit made a second job"));
    let failed = jobs
        .values()
        .filter(|job| job.state != StateName::Succeeded || job.charged != 1)
        .map(|job| {
            format!(
                "{} ended as {}, charged {}: {:?}",
                job.id, job.state, job.charged, job.cause
            )
        });
    lost.chain(unknown).chain(failed).collect()
}

/// Those of the jobs that were not started exactly once, and which of their attempts were started.
pub(crate) fn not_started_once(
    jobs: &BTreeSet<JobId>,
    started: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let attempts = |id: &JobId| started.get(&id.to_string()).cloned().unwrap_or_default();
    let not_once = jobs
        .iter()
        .map(|id| (id, attempts(id)))
        .filter(|(_, attempts)| attempts.len() != 1);
    not_once
        .map(|(id, attempts)| format!("{id} was started as {attempts:?}"))
        .collect()
}

/// Checks every place, set and chain of facts in the store behind `primary`, which nobody writes any more.
pub(crate) async fn check_books(primary: SocketAddr) -> Result<()> {
    let config = RedisConfig::new(RedisServers::Single(primary.to_string().parse()?));
    let nexus = RedisNexus::open(config)?;
    let dump = nexus.dump(&Space::new(SPACE)?).await?;
    nexus.close().await?;
    let findings = fsck(&dump);
    ensure!(findings.is_empty(), "fsck finds {findings:#?}");
    Ok(())
}
