//! Renewals: how an agent keeps the leases that it holds, and gets back those whose claim the nexus forgot.
//!
//! A renewal moves a deadline and need only survive a crash of the process. An agent that proves a claim which the nexus
//! does not know any more (a failover lost it) has it committed anew, as durably as any claim.

use std::time::Duration;

use domain::job::{ProvenLease, State, leases_set};
use domain::plan::has_overrun;
use domain::{AgentId, AgentRef, Cause, Job, JobEvent, JobId};
use nexus::{Durability, Outcome, Score, Transaction};

use crate::error::{ApplyError, LedgerError};
use crate::ledger::{Ledger, TRIES_MAX};
use crate::plan::{self, Lease};

/// How long a lease lives whose claim is committed anew for another reason than a renewal: long enough for its agent to
/// renew it, or to supply what its finish lacks.
const READOPTED_FOR: Duration = Duration::from_secs(30);

/// A lease that an agent wants to keep. The attempt is proven by its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewItem {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: u32,
    /// How long the command has run, as its agent measures it.
    pub ran: Duration,
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// It lives on.
    Live,
    /// It lives on, but the job is to be cancelled.
    Cancel,
    /// It is not the agent's any more.
    Lost,
}

/// What became of a claim that the nexus may have forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readopted {
    /// It is committed again.
    Yes,
    /// It was not forgotten, or somebody else has the number by now.
    No,
    /// The agent was forgotten too: it is to enrol first.
    AgentUnknown,
}

/// What one look at a lease leads to.
enum Renewal {
    Commit(Box<Transaction>, Renewed),
    /// Its claim is committed anew.
    Readopt(Box<Transaction>),
    Unreadable,
    Lost,
}

impl Ledger {
    /// Renews leases. One answer for each item.
    ///
    /// # Errors
    /// The nexus does not answer; nothing is known of any lease then.
    pub async fn renew(
        &self,
        agent: &AgentRef,
        items: &[RenewItem],
        ttl: Duration,
    ) -> Result<Vec<Renewed>, LedgerError> {
        let mut answers = vec![Renewed::Lost; items.len()];
        let mut open: Vec<(usize, &RenewItem)> = items.iter().enumerate().collect();
        for _ in 0..TRIES_MAX {
            if open.is_empty() {
                return Ok(answers);
            }
            let (mut txs, mut planned) = (Vec::new(), Vec::new());
            let mut durability = Durability::Process;
            for (item, renewal) in open.iter().zip(self.plan_renewals(agent, &open, ttl).await?) {
                match (renewal, answers.get_mut(item.0)) {
                    (Renewal::Commit(tx, standing), _) => {
                        txs.push(*tx);
                        planned.push((*item, standing));
                    }
                    (Renewal::Readopt(tx), _) => {
                        durability = Durability::Disk;
                        txs.push(*tx);
                        planned.push((*item, Renewed::Live));
                    }
                    (Renewal::Unreadable, Some(answer)) => *answer = Renewed::Live,
                    (Renewal::Lost | Renewal::Unreadable, _) => {}
                }
            }
            let mut changed = Vec::new();
            for ((item, standing), outcome) in planned.into_iter().zip(self.commit(txs, durability).await?) {
                match (outcome, answers.get_mut(item.0)) {
                    (Outcome::Applied | Outcome::Already, Some(answer)) => *answer = standing,
                    (Outcome::Applied | Outcome::Already | Outcome::Refused { .. } | Outcome::Full, _) => {
                        changed.push(item);
                    }
                }
            }
            open = changed;
        }
        match open.first() {
            Some((_, item)) => Err(LedgerError::Contended {
                job: item.job.clone(),
            }),
            None => Ok(answers),
        }
    }

    /// The renewal of each item as things stand now; nothing for a lease that is lost.
    async fn plan_renewals(
        &self,
        agent: &AgentRef,
        items: &[(usize, &RenewItem)],
        ttl: Duration,
    ) -> Result<Vec<Renewal>, LedgerError> {
        let now = self.now().await?;
        let ulids: Vec<String> = items.iter().map(|(_, item)| item.job.ulid().to_owned()).collect();
        let deadlines = self.deadlines(&agent.id, &ulids).await?;
        let mut renewals = Vec::with_capacity(items.len());
        for (((_, item), found), deadline) in items.iter().zip(self.load_all(&ulids).await?).zip(deadlines) {
            let proven = ProvenLease {
                job: item.job.clone(),
                attempt: item.attempt,
                agent: agent.id.clone(),
            };
            let planned = match (found, deadline) {
                (Some(Ok(before)), Some(_)) if has_overrun(before.job(), item.ran) => {
                    self.take_overrun(item).await
                }
                (Some(Ok(before)), Some(deadline)) => {
                    let lease = Lease {
                        agent: &agent.id,
                        attempt: item.attempt,
                        deadline,
                    };
                    plan::renew(self.tx_id(), &before, &lease, (now, ttl)).map_or(Renewal::Lost, |tx| {
                        Renewal::Commit(Box::new(tx), standing(before.job()))
                    })
                }
                // What cannot be read is not lost: a newer coordinator may be able to, and its agent asks that one, too.
                (Some(Err(error)), Some(_)) => {
                    tracing::error!(job = %item.job, %error, "a lease cannot be renewed");
                    Renewal::Unreadable
                }
                (Some(Ok(before)), None) => plan::readopt(self.tx_id(), &before, &proven, agent, (now, ttl))
                    .map_or(Renewal::Lost, |tx| Renewal::Readopt(Box::new(tx))),
                (None, _) | (Some(Err(_)), None) => Renewal::Lost,
            };
            renewals.push(planned);
        }
        Ok(renewals)
    }

    /// Takes a lease whose agent renews it for ever. What happened meanwhile decides, if anything did.
    async fn take_overrun(&self, item: &RenewItem) -> Renewal {
        let event = JobEvent::LeaseTaken {
            attempt: item.attempt,
            cause: Cause::Timeout,
        };
        match self.apply(&item.job, event).await {
            Ok(_) | Err(ApplyError::Unknown(_) | ApplyError::Refused(_)) => Renewal::Lost,
            Err(ApplyError::Ledger(error)) => {
                tracing::error!(job = %item.job, %error, "a run that has overrun its timeout cannot be taken");
                Renewal::Unreadable
            }
        }
    }

    /// Commits the claim of a proven lease anew if the nexus forgot it, so that what its agent wants can be done.
    ///
    /// # Errors
    /// The nexus does not answer, or the record cannot be understood.
    pub async fn readopt(&self, lease: &ProvenLease) -> Result<Readopted, LedgerError> {
        for _ in 0..TRIES_MAX {
            let Some(before) = self.load(&lease.job).await? else {
                return Ok(Readopted::No);
            };
            if !lease.was_forgotten(before.job()) {
                return Ok(Readopted::No);
            }
            let Some(agent) = self.agent(&lease.agent).await? else {
                return Ok(Readopted::AgentUnknown);
            };
            let when = (self.now().await?, READOPTED_FOR);
            let Some(tx) = plan::readopt(self.tx_id(), &before, lease, &agent.reference(), when) else {
                return Ok(Readopted::No);
            };
            if self.commit_one(tx, Durability::Disk).await? {
                tracing::warn!(job.id = %lease.job, attempt = lease.attempt, agent.id = %lease.agent,
                    "the nexus had forgotten a claim; it is committed anew");
                return Ok(Readopted::Yes);
            }
        }
        Err(LedgerError::Contended {
            job: lease.job.clone(),
        })
    }

    /// Where the leases of an agent stand.
    pub(crate) async fn deadlines(
        &self,
        agent: &AgentId,
        ulids: &[String],
    ) -> Result<Vec<Option<Score>>, LedgerError> {
        let mut deadlines = Vec::with_capacity(ulids.len());
        for part in ulids.chunks(nexus::limits::FETCH_MAX) {
            let scores = self.nexus.scores(&self.space, &leases_set(agent), part).await?;
            deadlines.extend(scores);
        }
        Ok(deadlines)
    }
}

fn standing(job: &Job) -> Renewed {
    match &job.state {
        State::Running(running) if running.cancel.is_some() => Renewed::Cancel,
        State::Running(_) => Renewed::Live,
        State::Queued { .. } | State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => {
            Renewed::Lost
        }
    }
}
