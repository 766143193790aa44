//! The names of everything that the ledger keeps in a pool's space.
//!
//! Members of ordered sets and parts of keys are ULIDs without the pool: the space is the pool.

use domain::{AgentId, AgentName, JobId, Principal};

/// Jobs that were taken from their lane and not claimed yet, by the end of the hold.
pub const HELD: &str = "held";
/// Jobs whose records cannot be read, by when they were put aside.
pub const QUARANTINE: &str = "quarantine";
/// Agents, by when they were last seen.
pub const AGENTS: &str = "agents";
/// Idempotency records, by when they were made.
pub const IDEMPOTENCY: &str = "idempotency";
/// Every fact of the pool, in one order.
pub const JOURNAL: &str = "journal";
/// What administrators did: the log of all acts, and the record of the last one.
pub const ACTS: &str = "acts";
/// What reapers know of each other.
pub const BEAT: &str = "reaper/beat";
/// A record without content, written now and then to see whether the nexus takes writes.
pub const PROBE: &str = "pulse/probe";
/// The prefix of job records, for takes that bring the records along.
pub const JOB_PREFIX: &str = "job/";
/// The prefix of spec records.
pub const SPEC_PREFIX: &str = "spec/";

/// The job's record.
pub fn job(ulid: &str) -> String {
    format!("{JOB_PREFIX}{ulid}")
}

/// The job's immutable spec.
pub fn spec(ulid: &str) -> String {
    format!("{SPEC_PREFIX}{ulid}")
}

/// Where a quarantined job stood, and why it does not any more.
pub fn quarantined(ulid: &str) -> String {
    format!("{QUARANTINE}/{ulid}")
}

/// The ended attempts of a job that went on after them.
pub fn attempts(id: &JobId) -> String {
    format!("attempts/{}", id.ulid())
}

/// The manifest of one attempt.
pub fn artifacts(id: &JobId, attempt: u32) -> String {
    format!("artifacts/{}/{attempt}", id.ulid())
}

/// Where the parts of one attempt's log are; absent while all of it is in the nexus.
pub fn log_record(id: &JobId, attempt: u32) -> String {
    format!("log/{}/{attempt}", id.ulid())
}

/// The log of the nexus that holds the tail of one attempt's log.
pub fn log(id: &JobId, attempt: u32) -> String {
    format!("log/{}/{attempt}", id.ulid())
}

/// What an idempotency key stands for.
pub fn idempotency(principal: &Principal, key: &str) -> String {
    format!("idempotency/{principal}/{key}")
}

/// One agent process.
pub fn agent(id: &AgentId) -> String {
    format!("agent/{id}")
}

/// What belongs to an agent's name.
pub fn agent_name(name: &AgentName) -> String {
    format!("agent-name/{name}")
}

/// The hint that a job has changed.
pub fn job_hint(ulid: &str) -> String {
    format!("job/{ulid}")
}

/// The hint that the log of a job has grown.
pub fn log_hint(ulid: &str) -> String {
    format!("log/{ulid}")
}
