//! Leases that their agent never heard of, and what becomes of each: it is told, or it is given back.
//!
//! The one idea: telling moves the deadline, and giving back wants it where the claim has put it. So whichever is
//! committed first stands, whatever coordinators the two are done by: a lease that was told is not given back under the
//! run that it started, and one that was given back is not told.

use std::time::Duration;

use domain::job::{GiveBack, ProvenLease, State, apply, leases_set};
use domain::{AgentId, Job, JobEvent, JobSpec};
use nexus::{Ascending, Durability, Outcome, Score};

use crate::claim::Granted;
use crate::error::{ApplyError, LedgerError};
use crate::keys;
use crate::ledger::{Applied, Ledger, TRIES_MAX};
use crate::plan::{self, Lease};
use crate::transaction::StoredJob;

impl Ledger {
    /// All live leases of an agent, with their specs, except those that `listed` names. For a look only: an agent hears
    /// of them by [`Self::tell`].
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn leases_of(
        &self,
        agent: &AgentId,
        listed: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<Granted>, LedgerError> {
        let leases = self.stored_leases(agent, listed).await?;
        Ok(leases.into_iter().map(|(_, granted)| granted).collect())
    }

    /// Those live leases of an agent that `listed` does not name, to tell it of them: each is renewed by that, so that
    /// no coordinator whose reply was lost gives it back any more. One that is given back just now is not told.
    ///
    /// # Errors
    /// The nexus does not answer. What was renewed nevertheless is found again by the next call.
    pub async fn tell(
        &self,
        agent: &AgentId,
        listed: impl Fn(&str) -> bool + Send,
        ttl: Duration,
    ) -> Result<Vec<Granted>, LedgerError> {
        let found = self.stored_leases(agent, listed).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now().await?;
        let (mut txs, mut told) = (Vec::new(), Vec::new());
        for (before, granted) in found {
            let lease = Lease {
                agent,
                attempt: granted.job.attempt,
                deadline: granted.deadline,
            };
            if let Some((tx, deadline)) = plan::tell(self.tx_id(), &before, &lease, (now, ttl)) {
                txs.push(tx);
                told.push(Granted { deadline, ..granted });
            }
        }
        let outcomes = self.commit(txs, Durability::Process).await?;
        let done = |outcome: &Outcome| matches!(outcome, Outcome::Applied | Outcome::Already);
        let told = told.into_iter().zip(outcomes);
        Ok(told
            .filter(|(_, outcome)| done(outcome))
            .map(|(granted, _)| granted)
            .collect())
    }

    /// Gives back leases whose agent went away before it heard of them, as they were granted, except those that it was
    /// told of since. Returns how many.
    ///
    /// # Errors
    /// The nexus does not answer. What was not given back waits for its agent, or for the reaper.
    pub async fn give_back_untold(&self, leases: &[Granted]) -> Result<usize, LedgerError> {
        let now = self.now().await?;
        let ulids: Vec<String> = leases.iter().map(|one| one.job.id.ulid().to_owned()).collect();
        let mut txs = Vec::new();
        for (granted, found) in leases.iter().zip(self.load_all(&ulids).await?) {
            let (Some(agent), Some(Ok(before))) = (holder(&granted.job), found) else {
                continue;
            };
            let event = JobEvent::GivenBack {
                attempt: granted.job.attempt,
                why: GiveBack::Undelivered,
            };
            let Some(step) = apply(before.job(), event, now).ok().and_then(plan::moved) else {
                continue;
            };
            let mut tx = match self.change(&before, step, now).await {
                Ok(tx) => tx,
                Err(LedgerError::Undecodable(error)) => {
                    tracing::error!(job.id = %granted.job.id, %error, "an undelivered lease stays with its agent");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let untold = plan::untold(agent, granted.job.id.ulid(), granted.deadline);
            tx.guards.push(untold);
            txs.push(tx);
        }
        self.commit_counted(txs, Durability::Disk).await
    }

    /// Gives back a lease that its agent never started. That it was given back before is no error.
    ///
    /// # Errors
    /// [`ApplyError`] tells an unknown job, a refusal of the rules and a failure of the store apart.
    pub async fn give_back(&self, lease: &ProvenLease, why: GiveBack) -> Result<Applied, ApplyError> {
        for _ in 0..TRIES_MAX {
            let before = self
                .load(&lease.job)
                .await?
                .ok_or_else(|| ApplyError::Unknown(lease.job.clone()))?;
            lease.check_holder(before.job())?;
            let now = self.now().await?;
            let event = JobEvent::GivenBack {
                attempt: lease.attempt,
                why,
            };
            let Some(step) = plan::moved(apply(before.job(), event, now)?) else {
                return Ok(Applied::Same(Box::new(before.into_job())));
            };
            let next = step.next.clone();
            let tx = self.change(&before, step, now).await?;
            if self.commit_one(tx, Durability::Disk).await? {
                return Ok(Applied::Moved(Box::new(next)));
            }
        }
        Err(LedgerError::Contended {
            job: lease.job.clone(),
        }
        .into())
    }

    /// Says whether an ended attempt is the one that this lease's agent finished, so that a repetition gets the answer
    /// of the first time, whatever has become of the job since.
    pub(crate) async fn was_finished(
        &self,
        lease: &ProvenLease,
        before: &StoredJob,
    ) -> Result<bool, LedgerError> {
        if let Some(last) = before.job().state.final_attempt()
            && last.number == lease.attempt
        {
            return Ok(lease.was_finished_as(last));
        }
        let earlier = self.attempts(&lease.job).await?;
        Ok(earlier
            .value
            .ended
            .iter()
            .any(|attempt| lease.was_finished_as(attempt)))
    }

    async fn stored_leases(
        &self,
        agent: &AgentId,
        listed: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<(StoredJob, Granted)>, LedgerError> {
        let page = Ascending {
            after: None,
            up_to: None,
            n: nexus::limits::PAGE_MAX,
        };
        let members = self.nexus.range(&self.space, &leases_set(agent), page).await?;
        let members: Vec<(Score, String)> = members.into_iter().filter(|(_, ulid)| !listed(ulid)).collect();
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let ulids: Vec<String> = members.iter().map(|(_, ulid)| ulid.clone()).collect();
        let wanted: Vec<String> = ulids.iter().map(|ulid| keys::spec(ulid)).collect();
        let specs = self.nexus.fetch(&self.space, &wanted).await?;
        let mut leases = Vec::new();
        for (((deadline, ulid), found), spec) in members.iter().zip(self.load_all(&ulids).await?).zip(specs) {
            let stored = match found {
                None => continue,
                Some(Ok(stored)) => stored,
                Some(Err(error)) => {
                    tracing::error!(job = %ulid, %error, "a lease cannot be read");
                    continue;
                }
            };
            let Some(spec) = spec.filter(|_| holder(stored.job()) == Some(agent)) else {
                continue;
            };
            match JobSpec::from_canonical(&spec.bytes) {
                Ok(spec) => {
                    let granted = Granted {
                        spec,
                        job: stored.job().clone(),
                        deadline: *deadline,
                    };
                    leases.push((stored, granted));
                }
                Err(error) => tracing::error!(job = %ulid, %error, "the spec of a lease cannot be read"),
            }
        }
        Ok(leases)
    }
}

fn holder(job: &Job) -> Option<&AgentId> {
    match &job.state {
        State::Running(running) => Some(&running.agent.id),
        State::Queued { .. } | State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => {
            None
        }
    }
}
