//! The public API from outside: what any program could do with a URL and a token.
//!
//! Blocking, because tests read best from top to bottom; threads may share one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use domain::{Digest, JobId, JobSpec};
use protocol::agents::{AgentList, AgentView};
use protocol::client::{Client, ClientError, Options, Upload, read_bytes};
use protocol::frame::Stream;
use protocol::jobs::{
    Artifact, ArtifactList, BatchItem, BatchSubmit, BatchSubmitted, CancelRequest, EventList, EventView,
    JobList, JobView, Submitted, WhyView,
};
use protocol::limits::PAGE_ITEMS_MAX;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::{RawValue, to_raw_value};
use tokio::runtime::Runtime;

use crate::follow;
use crate::wait::{LIMIT, within_limit};

/// A user of the API.
#[derive(Clone)]
pub struct Api {
    runtime: Arc<Runtime>,
    client: Client,
}

impl Api {
    /// A user of the coordinator at this URL.
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(url: &str, token: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let client = Client::new([url], token)?;
        Ok(Self {
            runtime: Arc::new(runtime),
            client,
        })
    }

    /// Gets a view. The error is the coordinator's own.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn get<R: DeserializeOwned>(&self, path: &str) -> Result<R, ClientError> {
        self.runtime.block_on(self.client.get(path, Options::default()))
    }

    /// Posts text that should be JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn post<R: DeserializeOwned>(
        &self,
        path: &str,
        body: &str,
        options: Options,
    ) -> Result<R, ClientError> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.runtime.block_on(self.client.post_bytes(path, body, options))
    }

    /// Puts a body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn put(&self, path: &str, body: &[u8]) -> Result<(), ClientError> {
        let body = Upload::bytes(Bytes::copy_from_slice(body));
        self.runtime
            .block_on(self.client.put(path, body, Options::default()))
    }

    /// Gets the bytes at a path.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn bytes(&self, path: &str) -> Result<Bytes, ClientError> {
        self.runtime.block_on(async {
            let response = self.client.stream(path, "*/*", Options::default()).await?;
            read_bytes(response).await
        })
    }

    /// Submits one job.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn submit(&self, spec: &JobSpec) -> Result<JobId, ClientError> {
        let path = "/v1/jobs";
        let submitted = self
            .runtime
            .block_on(self.client.post(path, spec, Options::default()));
        submitted.map(|submitted: Submitted| submitted.id)
    }

    /// Submits jobs in one request, all of which must be accepted.
    ///
    /// # Errors
    /// One is refused, or see [`ClientError`].
    pub fn submit_batch(&self, specs: &[JobSpec]) -> Result<Vec<JobId>> {
        let jobs = specs
            .iter()
            .map(to_raw_value)
            .collect::<Result<Vec<Box<RawValue>>, _>>()?;
        let batch = BatchSubmit { jobs };
        let path = "/v1/jobs/batch";
        let reply: BatchSubmitted =
            self.runtime
                .block_on(self.client.post(path, &batch, Options::default()))?;
        let ids = reply.items.into_iter().map(|item| match item {
            BatchItem::Submitted(submitted) => Ok(submitted.id),
            BatchItem::Refused(problem) => bail!("a job of the batch was refused: {problem}"),
        });
        ids.collect()
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn job(&self, id: &JobId) -> Result<JobView, ClientError> {
        self.get(&format!("/v1/jobs/{id}"))
    }

    /// Waits until a job is as the caller wants it. A coordinator that is away for a while does not matter.
    ///
    /// # Errors
    /// It does not become so, or the job is refused.
    pub fn until(&self, id: &JobId, what: &str, is_so: impl Fn(&JobView) -> bool) -> Result<JobView> {
        self.until_within(id, what, LIMIT, is_so)
    }

    /// The same, with the longest time that it may take.
    ///
    /// # Errors
    /// As [`Api::until`].
    pub fn until_within(
        &self,
        id: &JobId,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&JobView) -> bool,
    ) -> Result<JobView> {
        let what = format!("job {id} {what}");
        within_limit(&what, limit, || match self.job(id) {
            Ok(view) => Ok(Some(view).filter(|view| is_so(view))),
            Err(error) if error.is_transient() => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    /// Waits until a job has ended.
    ///
    /// # Errors
    /// As [`Api::until`].
    pub fn ended(&self, id: &JobId) -> Result<JobView> {
        self.until(id, "ends", |view| view.state.is_terminal())
    }

    /// Waits until all these jobs have ended, and returns them by id.
    ///
    /// # Errors
    /// One does not end in time.
    pub fn all_ended(&self, ids: &[JobId], limit: Duration) -> Result<BTreeMap<JobId, JobView>> {
        within_limit(&format!("the end of {} jobs", ids.len()), limit, || {
            let views = match self.all() {
                Ok(views) => views,
                Err(error) if error.is_transient() => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let ended: BTreeMap<_, _> = views
                .into_iter()
                .filter(|(_, view)| view.state.is_terminal())
                .collect();
            let asked = ids.iter().map(|id| Some((id.clone(), ended.get(id)?.clone())));
            Ok(asked.collect())
        })
    }

    /// All jobs, by id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn all(&self) -> Result<BTreeMap<JobId, JobView>, ClientError> {
        let mut all = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let page: JobList = self.get(&format!("/v1/jobs?limit={PAGE_ITEMS_MAX}{cursor}"))?;
            all.extend(page.items.into_iter().map(|view| (view.id.clone(), view)));
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// What one attempt wrote, both streams together.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn log(&self, id: &JobId, attempt: u32) -> Result<String, ClientError> {
        let bytes = self.bytes(&format!("/v1/jobs/{id}/attempts/{attempt}/log"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Follows what an attempt writes while it writes it, until it is over.
    ///
    /// # Errors
    /// The stream breaks off.
    pub fn follow(&self, id: &JobId, attempt: u32, seen: impl FnMut(Stream, &[u8])) -> Result<()> {
        let path = format!("/v1/jobs/{id}/attempts/{attempt}/log");
        self.runtime.block_on(follow::follow(&self.client, &path, seen))
    }

    /// The artifacts of an attempt.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn artifacts(&self, id: &JobId, attempt: u32) -> Result<Vec<Artifact>, ClientError> {
        let list: ArtifactList = self.get(&format!("/v1/jobs/{id}/attempts/{attempt}/artifacts"))?;
        Ok(list.items)
    }

    /// The content of one artifact, checked against what the manifest says.
    ///
    /// # Errors
    /// It is not there, or is not what it should be.
    pub fn artifact(&self, id: &JobId, attempt: u32, path: &str) -> Result<(Artifact, Bytes)> {
        let list = self.artifacts(id, attempt)?;
        let found = list.into_iter().find(|artifact| artifact.path == path);
        let artifact = found.with_context(|| format!("{id} left no artifact `{path}`"))?;
        let content = self.bytes(&format!("/v1/jobs/{id}/attempts/{attempt}/artifacts/{path}"))?;
        ensure!(
            Digest::of(&content) == artifact.digest,
            "the artifact `{path}` arrived damaged"
        );
        Ok((artifact, content))
    }

    /// Stores a blob and returns its name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn store(&self, content: &[u8]) -> Result<Digest, ClientError> {
        let digest = Digest::of(content);
        self.put(&format!("/v1/blobs/{digest}"), content)?;
        Ok(digest)
    }

    /// Asks to cancel a job.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn cancel(&self, id: &JobId, reason: &str) -> Result<(), ClientError> {
        let request = CancelRequest {
            reason: Some(reason.to_owned()),
        };
        let path = format!("/v1/jobs/{id}/cancel");
        let reply = self
            .runtime
            .block_on(self.client.post(&path, &request, Options::default()));
        reply.map(|_: IgnoredAny| ())
    }

    /// Everything that happened to a job.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn events(&self, id: &JobId) -> Result<Vec<EventView>, ClientError> {
        self.get(&format!("/v1/jobs/{id}/events"))
            .map(|list: EventList| list.items)
    }

    /// Why a job is where it is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn why(&self, id: &JobId) -> Result<WhyView, ClientError> {
        self.get(&format!("/v1/jobs/{id}/why"))
    }

    /// The agents.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn agents(&self) -> Result<Vec<AgentView>, ClientError> {
        self.get("/v1/agents").map(|list: AgentList| list.items)
    }
}
