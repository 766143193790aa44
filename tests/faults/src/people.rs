//! The people of a world: they submit jobs, again and again until they are told that it was taken, and look at them.

use std::sync::Mutex;

use anyhow::{Result, ensure};
use domain::job::StateName;
use domain::{JobId, JobSpec};
use protocol::agents::AgentList;
use protocol::client::{Client, ClientError, Options, read_bytes};
use protocol::jobs::{ArtifactList, IDEMPOTENCY_KEY, JobList, JobView, Submitted};

use crate::jobs::{LAST_LINE, TALK_BYTES};
use crate::wait::eventually;
use crate::world::{ADMIN, AGENT, World};

/// Jobs of one world that one page must hold.
const PAGE: &str = "/v1/jobs?limit=100";

/// Somebody who submits jobs and remembers them.
pub struct People {
    client: Client,
    jobs: Mutex<Vec<JobId>>,
}

impl People {
    /// Somebody who talks to this world.
    ///
    /// # Errors
    /// There is no URL.
    pub fn of(world: &World) -> Result<Self> {
        let url = format!("http://{}", world.proxy.address);
        Ok(Self {
            client: Client::new([url], ADMIN)?,
            jobs: Mutex::new(Vec::new()),
        })
    }

    /// The jobs that were acknowledged, in order.
    pub fn jobs(&self) -> Vec<JobId> {
        self.jobs.lock().expect("nobody panics with it").clone()
    }

    /// Submits a job, and repeats that with the same key until there is an answer.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    pub async fn submit(&self, spec: &JobSpec) -> Result<JobId> {
        let key = format!("{:016x}", getrandom::u64()?);
        let job = eventually("a job is taken", async || {
            let options = Options::default().header(IDEMPOTENCY_KEY, &key);
            let answer = self.client.post::<Submitted>("/v1/jobs", spec, options).await;
            patient(answer.map(|submitted| submitted.id))
        })
        .await?;
        self.jobs.lock().expect("nobody panics with it").push(job.clone());
        Ok(job)
    }

    /// Says something to the agent that changes nothing, so that it is heard of at once.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    pub async fn prod(&self) -> Result<()> {
        eventually("the agent is prodded", async || {
            let path = format!("/v1/agents/{AGENT}/resume");
            let answer = self
                .client
                .post::<AgentList>(&path, &(), Options::default())
                .await;
            patient(answer.map(drop))
        })
        .await
    }

    /// Waits until all of these have succeeded.
    ///
    /// # Errors
    /// One has ended otherwise, or does not end.
    pub async fn succeed(&self, jobs: &[JobId]) -> Result<()> {
        eventually(&format!("{} jobs succeed", jobs.len()), async || {
            let answer = self.client.get::<JobList>(PAGE, Options::default()).await;
            let Some(list) = patient(answer)? else {
                return Ok(None);
            };
            let wanted = list.items.iter().filter(|job| jobs.contains(&job.id));
            let mut n_done = 0;
            for job in wanted {
                let good = !job.state.is_terminal() || job.state == StateName::Succeeded;
                ensure!(
                    good,
                    "{} has ended as {}: {:?}",
                    job.id,
                    job.state,
                    job.cause_text
                );
                n_done += usize::from(job.state.is_terminal());
            }
            Ok((n_done == jobs.len()).then_some(()))
        })
        .await
    }

    /// Fails unless a job has succeeded in its last attempt, with its artifact and its whole log. Returns the attempts that were
    /// not given back: what an agent holds ahead behind a slot that stands still, it gives back after a second.
    ///
    /// # Errors
    /// It has not.
    pub async fn check(&self, job: &JobId, talks: bool) -> Result<Vec<u32>> {
        let path = format!("/v1/jobs/{job}");
        let view: JobView = self.client.get(&path, Options::default()).await?;
        let attempt = view.attempt;
        let kept = view.attempts.iter().filter(|one| one.outcome != "given_back");
        let kept: Vec<u32> = kept.map(|one| one.number).collect();
        ensure!(
            kept.last() == Some(&attempt) && view.attempts.len() == attempt as usize,
            "{job} is in attempt {attempt}: {:?}",
            view.attempts
        );
        let path = format!("/v1/jobs/{job}/attempts/{attempt}/artifacts");
        let artifacts: ArtifactList = self.client.get(&path, Options::default()).await?;
        let paths: Vec<&str> = artifacts.items.iter().map(|file| file.path.as_str()).collect();
        ensure!(paths == ["out.txt"], "{job} has left {paths:?}");
        let path = format!("/v1/jobs/{job}/attempts/{attempt}/log");
        let log = self
            .client
            .stream(&path, "text/plain", Options::default())
            .await?;
        let log = String::from_utf8(read_bytes(log).await?.to_vec())?;
        let talk = if talks {
            ".".repeat(TALK_BYTES) + "\n"
        } else {
            String::new()
        };
        ensure!(
            log == talk + LAST_LINE,
            "the log of {job} has {} bytes",
            log.len()
        );
        Ok(kept)
    }
}

/// Nothing yet, if asking again can help.
fn patient<T>(answer: Result<T, ClientError>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_transient() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
