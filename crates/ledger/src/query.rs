//! Reading for people: one job with all that belongs to it, pages of jobs, a job's facts.

use domain::job::{Attempt, JOBS, StateName};
use domain::{Job, JobId, JobSpec, Lane};
use nexus::{Descending, Member, Score, Span};

use crate::chain::JournalEntry;
use crate::error::LedgerError;
use crate::keys;
use crate::ledger::Ledger;
use crate::record::{self, ArtifactsRecord};
use crate::transaction::StoredJob;

/// Jobs that are looked at for one page. A page that a filter leaves short has a cursor all the same.
const SCAN_MAX: usize = 4_096;

/// One job with all that belongs to it.
#[derive(Debug, Clone)]
pub struct JobDetail {
    /// The job, and the version for an ETag.
    pub stored: StoredJob,
    /// What it is.
    pub spec: JobSpec,
    /// Its ended attempts, oldest first, the final one included.
    pub attempts: Vec<Attempt>,
}

/// One page of jobs, newest first.
#[derive(Debug, Clone)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// Where the next page begins; none at the end.
    pub next: Option<(u64, Member)>,
}

impl Ledger {
    /// One job with all that belongs to it.
    ///
    /// # Errors
    /// The nexus does not answer, or a record cannot be understood.
    pub async fn detail(&self, id: &JobId) -> Result<Option<JobDetail>, LedgerError> {
        let Some(stored) = self.load(id).await? else {
            return Ok(None);
        };
        let Some(spec) = self.spec(id).await? else {
            return Ok(None);
        };
        let mut attempts = self.attempts(id).await?.value.ended;
        attempts.extend(stored.job().state.final_attempt().cloned());
        Ok(Some(JobDetail {
            stored,
            spec,
            attempts,
        }))
    }

    /// A job's spec.
    ///
    /// # Errors
    /// The nexus does not answer, or the spec cannot be understood.
    pub async fn spec(&self, id: &JobId) -> Result<Option<JobSpec>, LedgerError> {
        let found = self.fetch_one(&keys::spec(id.ulid())).await?;
        Ok(found
            .map(|record| JobSpec::from_canonical(&record.bytes))
            .transpose()?)
    }

    /// Many jobs at once; unknown and undecodable ones are left out.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn jobs(&self, ulids: &[String]) -> Result<Vec<Job>, LedgerError> {
        let found = self.load_all(ulids).await?;
        Ok(found
            .into_iter()
            .filter_map(|one| one?.ok())
            .map(StoredJob::into_job)
            .collect())
    }

    /// A page of 1 to 1,024 jobs, newest first, optionally of one state only.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn page(
        &self,
        state: Option<StateName>,
        before: Option<(u64, Member)>,
        n: usize,
    ) -> Result<JobPage, LedgerError> {
        let n = n.clamp(1, nexus::limits::PAGE_MAX);
        let mut cursor = before.map(|(score, member)| (Score::saturating(score), member));
        let (mut jobs, mut looked) = (Vec::new(), 0);
        while looked < SCAN_MAX {
            let page = Descending {
                before: cursor.clone(),
                down_to: None,
                n,
            };
            let members = self.nexus.range_back(&self.space, JOBS, page).await?;
            let ulids: Vec<String> = members.iter().map(|(_, ulid)| ulid.clone()).collect();
            looked += members.len();
            for ((score, ulid), found) in members.iter().zip(self.load_all(&ulids).await?) {
                cursor = Some((*score, ulid.clone()));
                let fits = |job: &Job| state.is_none_or(|state| job.state.name() == state);
                match found.transpose() {
                    Ok(Some(stored)) if fits(stored.job()) => jobs.push(stored.into_job()),
                    Ok(_) => {}
                    Err(error) => tracing::error!(job = %ulid, %error, "a job cannot be listed"),
                }
                if jobs.len() == n {
                    return Ok(JobPage {
                        jobs,
                        next: cursor.map(|(score, member)| (score.get(), member)),
                    });
                }
            }
            if members.len() < n {
                return Ok(JobPage { jobs, next: None });
            }
        }
        Ok(JobPage {
            jobs,
            next: cursor.map(|(score, member)| (score.get(), member)),
        })
    }

    /// A job's facts, oldest first, each with its digest.
    ///
    /// # Errors
    /// The nexus does not answer, or an entry cannot be understood.
    pub async fn facts(&self, id: &JobId) -> Result<Vec<(JournalEntry, domain::Digest)>, LedgerError> {
        let (mut facts, mut from) = (Vec::new(), 0);
        loop {
            let span = Span {
                from,
                n: nexus::limits::PAGE_MAX,
            };
            let page = self
                .nexus
                .read_thread(&self.space, keys::JOURNAL, id.ulid(), span)
                .await?;
            let Some(last) = page.last() else { return Ok(facts) };
            from = last.position + 1;
            for entry in &page {
                facts.push(JournalEntry::read(&entry.bytes)?);
            }
        }
    }

    /// The manifest of an attempt; empty when it left nothing.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn artifacts(&self, id: &JobId, attempt: u32) -> Result<ArtifactsRecord, LedgerError> {
        let key = keys::artifacts(id, attempt);
        match self.fetch_one(&key).await? {
            Some(found) => Ok(record::decode(&key, &found.bytes)?),
            None => Ok(ArtifactsRecord { files: Vec::new() }),
        }
    }

    /// How many jobs of the lane go before this one, up to 1,024; none when it does not stand there.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn ahead_in_lane(&self, lane: &Lane, ulid: &str) -> Result<Option<u64>, LedgerError> {
        let set = lane.set();
        let own = self
            .nexus
            .scores(&self.space, &set, &[ulid.to_owned()])
            .await?
            .pop()
            .flatten();
        let Some(score) = own else { return Ok(None) };
        let page = nexus::Ascending {
            after: None,
            up_to: Some(score),
            n: nexus::limits::PAGE_MAX,
        };
        let members = self.nexus.range(&self.space, &set, page).await?;
        let ahead = members
            .iter()
            .position(|(_, member)| member == ulid)
            .unwrap_or(members.len());
        Ok(Some(ahead as u64))
    }
}
