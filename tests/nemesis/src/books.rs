//! What the nexus has in the end, read from Redis itself once nobody else uses it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use domain::job::State;
use domain::requirement::Condition;
use domain::{JobFact, JobSpec};
use ledger::fsck::fsck;
use ledger::record::{JobRecord, decode};
use ledger::{JournalEntry, keys};
use nexus::{Dump, Nexus as _, RedisConfig, RedisNexus, RedisServers, Space};
use servers::Redis;

use crate::history::{Fact, Job, Ulid, What};
use crate::hive::ZONE;
use crate::stage::EXITS;

/// The space of the one pool.
const SPACE: &str = "pool/default";

/// What was found.
pub struct Books {
    /// The journal, in its order.
    pub facts: Vec<Fact>,
    /// The jobs, without what only the API can tell of them.
    pub jobs: BTreeMap<Ulid, Job>,
    /// What `fsck` found.
    pub findings: Vec<String>,
}

/// Reads them.
///
/// # Errors
/// Redis does not answer, or a spec cannot be read. Records that cannot be read are findings.
pub fn read(redis: &Redis) -> Result<Books> {
    let dump = dump(redis)?;
    let findings = fsck(&dump);
    let findings = findings
        .into_iter()
        .map(|finding| format!("{}: {}", finding.about, finding.what));
    let entries = dump
        .logs
        .get(keys::JOURNAL)
        .map(|log| log.entries.as_slice())
        .unwrap_or_default();
    // An entry that cannot be read is a finding already.
    let entries = entries
        .iter()
        .filter_map(|entry| JournalEntry::read(&entry.bytes).ok());
    let facts = entries.map(|(entry, digest)| Fact {
        at: entry.at,
        state: entry.state,
        digest: digest.to_string(),
        what: what(entry.fact),
        job: entry.ulid,
    });
    Ok(Books {
        facts: facts.collect(),
        jobs: jobs(&dump)?,
        findings: findings.collect(),
    })
}

fn dump(redis: &Redis) -> Result<Dump> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let servers = RedisServers::Single(redis.addr().to_string().parse()?);
        let nexus = RedisNexus::open(RedisConfig::new(servers))?;
        let dump = nexus.dump(&Space::new(SPACE)?).await.context("dump the nexus")?;
        nexus.close().await?;
        Ok(dump)
    })
}

fn what(fact: JobFact) -> What {
    match fact {
        JobFact::Submitted { .. } => What::Submitted,
        JobFact::Due => What::Due,
        JobFact::Admitted => What::Admitted,
        JobFact::Claimed { attempt, agent } => What::Claimed {
            attempt,
            agent: agent.name.to_string(),
            agent_id: agent.id.to_string(),
        },
        JobFact::Finished { attempt, .. } => What::Finished(attempt),
        JobFact::GivenBack { attempt, .. } => What::GivenBack(attempt),
        JobFact::LeaseTaken { attempt, cause } => What::Taken(attempt, cause),
        JobFact::CancelRequested { .. } => What::CancelRequested,
        JobFact::Rejected { .. } => What::Rejected,
        JobFact::Quarantined { .. } | JobFact::Restored => What::Unreadable,
    }
}

fn jobs(dump: &Dump) -> Result<BTreeMap<Ulid, Job>> {
    let mut jobs = BTreeMap::new();
    for (key, stored) in &dump.records {
        let Some(ulid) = key.strip_prefix(keys::JOB_PREFIX) else {
            continue;
        };
        let Ok(JobRecord { job, .. }) = decode::<JobRecord>(key, &stored.bytes) else {
            continue;
        };
        let Some(spec) = dump.records.get(&keys::spec(ulid)) else {
            continue;
        };
        let spec = JobSpec::from_canonical(&spec.bytes)?;
        jobs.insert(ulid.to_owned(), self::job(job, spec));
    }
    Ok(jobs)
}

fn job(job: domain::Job, spec: JobSpec) -> Job {
    let zone = spec
        .requires
        .iter()
        .find_map(|constraint| match &constraint.condition {
            Condition::Equals(zone) if constraint.key == ZONE => Some(zone.clone()),
            _ => None,
        });
    Job {
        state: job.state.name(),
        attempt: job.attempt,
        charged: job.charged,
        max_attempts: job.max_attempts,
        cause: match job.state {
            State::Failed { cause, .. } => Some(cause),
            _ => None,
        },
        exit: spec
            .labels
            .get(EXITS)
            .and_then(|code| code.parse().ok())
            .unwrap_or_default(),
        not_before: spec.not_before,
        zone,
        group: job.group.map(|group| (group.name.to_string(), group.limit)),
        name: spec.name.unwrap_or_default(),
        logs: BTreeMap::new(),
        events: Vec::new(),
    }
}
