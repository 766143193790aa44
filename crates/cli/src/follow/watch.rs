//! Watching a job's view: each call returns the next one that differs from the last.
//!
//! The request is parked at the coordinator (`Prefer: wait`) with the last view's `ETag`, so a change is heard at once
//! and nothing is asked in vain.

use std::time::Duration;

use domain::JobId;
use http::StatusCode;
use http::header::{ETAG, IF_NONE_MATCH};
use protocol::client::{Client, ClientError, Options, read_bytes};
use protocol::jobs::JobView;

use crate::failure::Failure;
use crate::follow::outage::Outage;

/// How long a request is parked.
const PARKED: Duration = Duration::from_secs(30);
/// What the reply may take beyond that.
const REPLY_TIME: Duration = Duration::from_secs(15);
/// The pause after a view that cannot be waited on because it came without an `ETag`.
const PAUSE_WITHOUT_ETAG: Duration = Duration::from_secs(1);

/// The place in a job's history that was seen last.
pub(super) struct Watch<'a> {
    client: &'a Client,
    job: &'a JobId,
    etag: Option<String>,
    seen: bool,
}

impl<'a> Watch<'a> {
    /// Nothing seen yet: the first view comes at once.
    pub(super) const fn new(client: &'a Client, job: &'a JobId) -> Self {
        Self {
            client,
            job,
            etag: None,
            seen: false,
        }
    }

    /// The next view. May be dropped at any time without losing one.
    ///
    /// # Errors
    /// The coordinator refuses, or is gone for longer than an outage may last.
    pub(super) async fn changed(&mut self) -> Result<JobView, Failure> {
        let mut outage = Outage::none(self.job);
        loop {
            if self.seen && self.etag.is_none() {
                tokio::time::sleep(PAUSE_WITHOUT_ETAG).await;
            }
            match self.ask().await {
                Ok(Some(view)) => {
                    outage.answered();
                    return Ok(view);
                }
                Ok(None) => outage.over(),
                Err(error) if error.is_transient() => outage.pause(&error).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One request; none when nothing has changed.
    async fn ask(&mut self) -> Result<Option<JobView>, ClientError> {
        let mut options = Options::default();
        if let Some(etag) = &self.etag {
            options = options
                .header("prefer", &format!("wait={}", PARKED.as_secs()))
                .header(IF_NONE_MATCH.as_str(), etag)
                .timeout(PARKED + REPLY_TIME);
        }
        let path = format!("/v1/jobs/{}", self.job);
        let response = self.client.stream(&path, "application/json", options).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let etag = response
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok())
            .map(str::to_owned);
        let body = read_bytes(response).await?;
        let view = serde_json::from_slice(&body).map_err(|error| ClientError::BadReply(error.to_string()))?;
        self.etag = etag;
        self.seen = true;
        Ok(Some(view))
    }
}
