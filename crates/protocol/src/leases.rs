//! Leases on the wire: claiming, renewing, finishing, giving back.
//!
//! Everything is a batch and everything can be repeated. A claim and a renewal list the leases that the agent holds;
//! the reply returns those that it should hold and did not list, so a lost reply costs nothing.

use domain::job::{GiveBack, Report};
use domain::{AgentId, JobId, JobSpec, Lane, Resources};
use serde::{Deserialize, Serialize};

use crate::agents::AgentInfo;
use crate::jobs::Artifact;
use crate::problem::Problem;
use crate::token::LeaseToken;

/// Header that carries the lease token of `POST /v1/leases/log`.
pub const LEASE_HEADER: &str = "hiveforge-lease";

/// `POST /v1/claims`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Who asks.
    pub agent: AgentId,
    /// Open slots.
    pub slots: usize,
    /// Leases wanted beyond the open slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<AheadWish>,
    /// Resources that no job of the agent has reserved.
    pub free: Resources,
    /// All leases that the agent holds or has just asked to end.
    pub held: Vec<Held>,
    /// How long to wait for work, in milliseconds; 0 answers at once.
    pub wait_ms: u64,
    /// The agent's description, until it knows that the coordinator has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrol: Option<Box<AgentInfo>>,
}

/// A wish for leases beyond the open slots, from one lane whose jobs are known to be short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AheadWish {
    /// The lane.
    pub lane: Lane,
    /// How many.
    pub n: usize,
}

/// A lease that the agent knows of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: u32,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimReply {
    /// Leases: first those that the agent already had without listing them, then new ones.
    pub leases: Vec<Lease>,
    /// The agent is to take no more jobs.
    pub draining: bool,
}

/// A granted lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The proof for every later request.
    pub token: LeaseToken,
    /// The lane that the job came from.
    pub lane: Lane,
    /// How long the lease lives without a renewal, in milliseconds.
    pub ttl_ms: u64,
    /// Somebody asked to cancel the job meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
    /// What to run.
    pub spec: JobSpec,
}

/// A lease and its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The job.
    pub job: JobId,
    /// The lease's token.
    pub token: LeaseToken,
}

/// `POST /v1/leases/renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// Who asks.
    pub agent: AgentId,
    /// All leases that the agent holds.
    pub leases: Vec<Renewal>,
}

/// A lease that the agent wants to keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// The job.
    pub job: JobId,
    /// The lease's token.
    pub token: LeaseToken,
    /// How long the command has run, in milliseconds of the agent's clock; the time that it was suspended does not count.
    #[serde(default)]
    pub ran_ms: u64,
}

impl From<Proof> for Renewal {
    /// The renewal of a lease whose command has not run yet.
    fn from(Proof { job, token }: Proof) -> Self {
        Self {
            job,
            token,
            ran_ms: 0,
        }
    }
}

/// The answer to a renewal: one standing for each lease, in order, and leases that were not listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewReply {
    /// What became of each.
    pub standings: Vec<Standing>,
    /// Live leases of this agent that it did not list: adopt them or give them back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<Lease>,
    /// The agent is to take no more jobs.
    #[serde(default)]
    pub draining: bool,
    /// Which life of the nexus this coordinator talks to, if it can tell: any other text than before means that the nexus
    /// was restarted or replaced, and may have lost the last things that it acknowledged. Opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub era: Option<String>,
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Renewed.
    Live,
    /// Renewed, but the job is to be cancelled: kill the run and finish it as cancelled.
    Cancel,
    /// Not the agent's any more: kill the run and forget it.
    Lost,
}

/// `POST /v1/leases/finish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishRequest {
    /// The ended runs.
    pub finishes: Vec<Finish>,
    /// A claim that is answered after the finishes are committed. Its `wait_ms` is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimRequest>,
}

/// One ended run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// The job.
    pub job: JobId,
    /// The lease's token.
    pub token: LeaseToken,
    /// How it ended and what it left. `log_bytes` and `log_digest` speak of the framed log.
    pub report: Report,
    /// The whole framed log, when none of it was shipped before and it is small. Base64.
    #[serde(
        default,
        with = "crate::frame::base64_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub log: Option<bytes::Bytes>,
    /// The manifest, sorted by path; the blobs are in the vault already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}

/// The answer to a finish: one result for each, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishReply {
    /// What became of each.
    pub results: Vec<FinishResult>,
    /// The answer to the claim, if there was one. Absent too when the claim itself failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimReply>,
}

/// What became of one finish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishResult {
    /// Recorded, now or by an earlier request. Forget the run.
    Done,
    /// Not recorded. `lease_lost`: forget the run. `log_incomplete`, `blob_missing`: supply it and repeat.
    Refused(Problem),
}

/// `POST /v1/leases/release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The leases to give back; none of them was started.
    pub leases: Vec<Proof>,
    /// Why.
    pub why: GiveBack,
}

/// The answer to `POST /v1/leases/log`, and the `detail` of a refused offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReceived {
    /// How many bytes of the framed log are stored now: send from here.
    pub stored: u64,
}
