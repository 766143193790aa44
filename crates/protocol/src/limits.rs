//! The limits of the protocol, by name. `GET /v1/limits` publishes them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most jobs of one batch submit.
pub const BATCH_JOBS_MAX: usize = 1_000;
/// Largest JSON body.
pub const JSON_BODY_BYTES_MAX: usize = 16 << 20;
/// Largest blob.
pub const BLOB_BYTES_MAX: u64 = 8 << 30;
/// Largest chunk of a log in one request.
pub const LOG_CHUNK_BYTES_MAX: usize = 1 << 20;
/// Largest log that a finish may carry itself.
pub const INLINE_LOG_BYTES_MAX: usize = 64 << 10;
/// Most bytes of all inline logs of one finish request.
pub const FINISH_LOG_BYTES_MAX: usize = 4 << 20;
/// Most finishes, renewals or releases of one request.
pub const LEASES_PER_REQUEST_MAX: usize = 1_000;
/// Most slots that one agent may offer.
pub const SLOTS_MAX: usize = 1_024;
/// Most artifacts of one attempt.
pub const ARTIFACTS_MAX: usize = 10_000;
/// Longest that a claim or a `Prefer: wait` is parked.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Most items of one page.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// Items of one page when the request does not say.
pub const PAGE_ITEMS_DEFAULT: usize = 50;
/// Longest `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;

/// All limits that a client may want to know. Durations are in milliseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most jobs of one batch submit.
    pub batch_jobs_max: usize,
    /// Largest JSON body.
    pub json_body_bytes_max: usize,
    /// Largest blob.
    pub blob_bytes_max: u64,
    /// Largest chunk of a log in one request.
    pub log_chunk_bytes_max: usize,
    /// Largest log that a finish may carry itself.
    pub inline_log_bytes_max: usize,
    /// Most leases of one renew, finish or release.
    pub leases_per_request_max: usize,
    /// Most artifacts of one attempt.
    pub artifacts_max: usize,
    /// Most items of one page.
    pub page_items_max: usize,
    /// Longest parked request.
    pub wait_ms_max: u64,
    /// Largest canonical spec.
    pub spec_bytes_max: usize,
}

impl Limits {
    /// The limits of this version.
    pub const fn current() -> Self {
        Self {
            batch_jobs_max: BATCH_JOBS_MAX,
            json_body_bytes_max: JSON_BODY_BYTES_MAX,
            blob_bytes_max: BLOB_BYTES_MAX,
            log_chunk_bytes_max: LOG_CHUNK_BYTES_MAX,
            inline_log_bytes_max: INLINE_LOG_BYTES_MAX,
            leases_per_request_max: LEASES_PER_REQUEST_MAX,
            artifacts_max: ARTIFACTS_MAX,
            page_items_max: PAGE_ITEMS_MAX,
            wait_ms_max: WAIT_MAX.as_secs() * 1_000,
            spec_bytes_max: domain::spec::SPEC_BYTES_MAX,
        }
    }
}
