//! Jobs on the wire: submitting, looking, cancelling, and why one waits.

use domain::job::{StateName, Usage};
use domain::matching::Unmet;
use domain::{
    AgentId, AgentName, Cause, Digest, GroupName, JobId, JobSpec, Lane, Principal, Span, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::problem::Problem;

/// Header that makes a create repeatable: the same key from the same principal gives the same thing.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Header of an answer that repeats an earlier one.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";

/// `POST /v1/jobs/batch`. Each item is a spec; one bad item does not refuse the others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSubmit {
    /// The specs, as JSON objects.
    pub jobs: Vec<Box<RawValue>>,
}

/// The answer to `POST /v1/jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The new job.
    pub id: JobId,
    /// What the submitter should know, e.g. that no agent can run it now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The answer to a batch: one result for each item, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSubmitted {
    /// The results.
    pub items: Vec<BatchItem>,
}

/// One item's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchItem {
    /// It was accepted.
    Submitted(Submitted),
    /// It was refused; the others were not.
    Refused(Problem),
}

/// A job as it is shown. `spec` and `attempts` are there when one job is asked for, not in lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// The spec's name.
    pub name: String,
    /// Where it is in its life.
    pub state: StateName,
    /// Who submitted it.
    pub principal: Principal,
    /// When.
    pub submitted_at: Timestamp,
    /// -100 to 100.
    pub priority: i8,
    /// The concurrency group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// The newest attempt's number; 0 before the first.
    pub attempt: u32,
    /// How many attempts count against `max_attempts`.
    pub charged: u32,
    /// How many may.
    pub max_attempts: u32,
    /// Who runs it, or ran it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// When the newest attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The cause in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause_text: Option<String>,
    /// Who asked to cancel it; a running job may still succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelView>,
    /// The digest of its canonical spec.
    pub spec_digest: Digest,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Box<JobSpec>>,
    /// Its ended attempts, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptView>,
}

/// Who asked to cancel a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelView {
    /// Who.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An ended attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Its number.
    pub number: u32,
    /// Who ran it.
    pub agent: AgentName,
    /// The agent's process start.
    pub agent_id: AgentId,
    /// The agent's fingerprint.
    pub fingerprint: Digest,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When its end was recorded.
    pub ended_at: Timestamp,
    /// `succeeded`, `failed`, `cancelled` or `given_back`.
    pub outcome: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Bytes of its log, framing included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
    /// Digest of the framed log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_digest: Option<Digest>,
    /// How many artifacts it left.
    pub artifacts: u32,
    /// How long its command ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran: Option<Span>,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// `GET /v1/jobs`: newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobList {
    /// One page.
    pub items: Vec<JobView>,
    /// Give this as `cursor` for the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `POST /v1/jobs/{job}/cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Why, for the record. At most 200 characters are kept.
    #[serde(default)]
    pub reason: Option<String>,
}

/// `GET /v1/jobs/{job}/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventList {
    /// The job's facts, oldest first.
    pub items: Vec<EventView>,
}

/// One fact of a job's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// When.
    pub at: Timestamp,
    /// What, e.g. `claimed`.
    pub event: String,
    /// The state after it.
    pub state: StateName,
    /// The attempt that it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The agent that it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// Who caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Principal>,
    /// The rest in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The digest of this fact, which the job's next fact carries.
    pub hash: Digest,
}

/// `GET /v1/jobs/{job}/why`: why it is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyView {
    /// Where it is.
    pub state: StateName,
    /// The answer in one sentence.
    pub verdict: String,
    /// The lane that it stands in or will stand in.
    pub lane: Lane,
    /// Jobs before it in its lane, when it stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
    /// Every known agent, with everything that keeps it from taking the job. Only while the job is queued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<WhyAgent>,
}

/// One agent's answer to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyAgent {
    /// The agent.
    pub agent: AgentName,
    /// Its process start.
    pub id: AgentId,
    /// All that keeps it from taking the job; empty when it could now.
    pub unmet: Vec<Unmet>,
}

/// One artifact of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Path beneath the work directory.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its content, as the vault names it.
    pub digest: Digest,
    /// Whether it may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// `GET /v1/jobs/{job}/attempts/{n}/artifacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactList {
    /// The attempt's manifest, by path.
    pub items: Vec<Artifact>,
}

/// One event of a followed log. `GET …/log` with `Accept: text/event-stream`; the event id is `offset` after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    /// `stdout`, `stderr` or `agent`.
    pub stream: crate::frame::Stream,
    /// When the agent read it.
    pub at: Timestamp,
    /// The bytes, base64.
    #[serde(with = "crate::frame::base64_bytes")]
    pub data: bytes::Bytes,
}
