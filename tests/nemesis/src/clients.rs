//! A user of the API who notes what was asked and answered.
//!
//! Blocking, one request at a time; each thread has its own.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::{JobId, JobSpec};
use protocol::agents::{AgentList, AgentState};
use protocol::client::{Client as Http, ClientError, Options, read_bytes};
use protocol::jobs::{CancelRequest, EventList, IDEMPOTENCY_KEY, JobList, JobView, Submitted};
use protocol::limits::PAGE_ITEMS_MAX;
use serde::de::IgnoredAny;
use tokio::runtime::{Builder, Runtime};

use crate::history::{Call, Moment, Reply, Request, Ulid};

/// How long one request may take before its outcome counts as unknown.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// One user.
pub struct Client {
    runtime: Runtime,
    http: Http,
}

impl Client {
    /// A user of the coordinators at these URLs.
    ///
    /// # Errors
    /// There is no URL.
    pub fn new(urls: &[String], token: &str) -> Result<Self> {
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            http: Http::new(urls, token)?,
        })
    }

    fn options() -> Options {
        Options::default().timeout(ANSWER_MAX)
    }

    /// Submits a job once, and notes it.
    pub fn submit(&self, key: &str, spec: &JobSpec, is_another: bool) -> (Call, Option<JobId>) {
        let options = Self::options().header(IDEMPOTENCY_KEY, key);
        let request = Request::Submit {
            key: key.to_owned(),
            is_another,
        };
        let mut id = None;
        let call = self.note(
            request,
            self.http.post("/v1/jobs", spec, options),
            |reply: Submitted| {
                id = Some(reply.id.clone());
                Reply::Submitted(reply.id.ulid().to_owned())
            },
        );
        (call, id)
    }

    /// Asks once to cancel a job, and notes it.
    pub fn cancel(&self, job: &JobId) -> Call {
        let request = Request::Cancel {
            job: job.ulid().to_owned(),
        };
        let path = format!("/v1/jobs/{job}/cancel");
        let body = CancelRequest::default();
        let asked = self.http.post(&path, &body, Self::options());
        self.note(request, asked, |_: IgnoredAny| Reply::Done)
    }

    fn note<R>(
        &self,
        request: Request,
        asked: impl Future<Output = Result<R, ClientError>>,
        done: impl FnOnce(R) -> Reply,
    ) -> Call {
        let invoked_at = Moment::now();
        let reply = match self.runtime.block_on(asked) {
            Ok(reply) => done(reply),
            Err(error) if error.is_transient() => Reply::Unknown(error.to_string()),
            Err(error) => Reply::Refused(error.code().map_or_else(|| error.to_string(), str::to_owned)),
        };
        Call {
            request,
            invoked_at,
            returned_at: Moment::now(),
            reply,
        }
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn job(&self, id: &JobId) -> Result<JobView, ClientError> {
        let path = format!("/v1/jobs/{id}");
        self.runtime.block_on(self.http.get(&path, Self::options()))
    }

    /// The digests of everything that happened to a job.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn facts(&self, id: &JobId) -> Result<Vec<String>, ClientError> {
        let path = format!("/v1/jobs/{id}/events");
        let list: EventList = self.runtime.block_on(self.http.get(&path, Self::options()))?;
        Ok(list.items.iter().map(|event| event.hash.to_string()).collect())
    }

    /// What one attempt wrote.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn log(&self, id: &JobId, attempt: u32) -> Result<String, ClientError> {
        let path = format!("/v1/jobs/{id}/attempts/{attempt}/log");
        self.runtime.block_on(async {
            let response = self.http.stream(&path, "*/*", Self::options()).await?;
            let bytes = read_bytes(response).await?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
    }

    /// All jobs, by their ULIDs.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn jobs(&self) -> Result<BTreeMap<Ulid, JobView>, ClientError> {
        let (mut all, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let path = format!("/v1/jobs?limit={PAGE_ITEMS_MAX}{cursor}");
            let page: JobList = self.runtime.block_on(self.http.get(&path, Self::options()))?;
            all.extend(
                page.items
                    .into_iter()
                    .map(|view| (view.id.ulid().to_owned(), view)),
            );
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// How many agents are there and were heard of lately; none when nobody can say.
    ///
    /// # Errors
    /// The answer is a refusal.
    pub fn agents(&self) -> Result<usize> {
        match self
            .runtime
            .block_on(self.http.get::<AgentList>("/v1/agents", Self::options()))
        {
            Ok(list) => {
                let there = list.items.iter().filter(|agent| agent.state != AgentState::Lost);
                Ok(there.count())
            }
            Err(error) if error.is_transient() => Ok(0),
            Err(error) => Err(error).context("list the agents"),
        }
    }

    /// Whether the coordinator says that it is ready.
    pub fn is_ready(&self) -> bool {
        let asked = self.http.stream("/readyz", "*/*", Self::options());
        self.runtime.block_on(asked).is_ok()
    }
}
