//! Claims and renewals: how an agent comes to hold leases and keeps them.
//!
//! A claim is a take (atomic, over all waiting agents at once) and then one commit for each taken job. Whoever dies in
//! between loses nothing: what was taken is held, and the reaper returns it. A claim is synced to the
//! disk before it is answered: an attempt whose number was forgotten in a loss of power would be given out twice, with
//! the same token (docs/decisions/0010). A renewal need only survive a crash of the process.

use std::time::Duration;

use domain::job::{State, leases_set};
use domain::plan::{LaneDemand, has_overrun};
use domain::{AgentId, AgentRef, Cause, Job, JobEvent, JobId, JobSpec, Lane, Timestamp};
use nexus::{Ascending, Durability, Outcome, Score, Taken, Transaction};

use crate::duty::HOLD;
use crate::error::{ApplyError, LedgerError};
use crate::keys;
use crate::ledger::{Ledger, TRIES_MAX, batches};
use crate::plan::{self, Lease};
use crate::transaction::StoredJob;

/// An agent and what to take for it.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Who gets the leases.
    pub agent: AgentRef,
    /// From where and how many.
    pub demand: LaneDemand,
}

/// A lease: the running job and its spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The job.
    pub job: Job,
    /// What to run.
    pub spec: JobSpec,
}

/// What a claimant gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// Its new leases.
    pub leases: Vec<Granted>,
    /// Its name is told to drain, so it got nothing of what there was for it.
    pub draining: bool,
}

/// What came of a claim.
#[derive(Debug)]
pub struct Claims {
    /// One answer for each claimant that was served, from the first on.
    pub claimed: Vec<Claimed>,
    /// What is to be put back, after the answers are safe.
    pub unwanted: Unwanted,
}

/// Jobs that were taken for agents that drain. Nobody gets them before they are put back or their hold is over.
#[derive(Debug)]
#[must_use = "jobs that are not put back wait for the reaper"]
pub struct Unwanted {
    taken: Vec<Taken>,
    held_until: Score,
}

impl Unwanted {
    /// Says whether there is nothing to put back.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }
}

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

/// What one look at a lease leads to.
enum Renewal {
    Commit(Box<Transaction>, Renewed),
    Unreadable,
    Lost,
}

impl Ledger {
    /// The lanes with claimable jobs, best-placed head first.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn lanes(&self) -> Result<Vec<Lane>, LedgerError> {
        let heads = self
            .nexus
            .heads(&self.space, domain::lane::LANE_FAMILY, nexus::limits::PAGE_MAX)
            .await?;
        Ok(heads.iter().filter_map(|(set, _)| Lane::of_set(set)).collect())
    }

    /// Takes and claims in one step each, for as many of the claimants, from the first on, as go into one take: at least
    /// one. One answer for each of these, possibly empty; the rest is for further calls, so that no failure of theirs
    /// takes anything from this answer. A job that is submitted after an agent was told to drain is not given to it,
    /// however old the claim is; the caller has it put back with [`Self::put_back`].
    ///
    /// # Errors
    /// The nexus does not answer, and no lease is known to be committed. What was committed nevertheless, or by a call
    /// that was broken off, is found again by [`Self::leases_of`].
    pub async fn claim(&self, claimants: &[Claimant], ttl: Duration) -> Result<Claims, LedgerError> {
        let claimants = plan::within_one_take(claimants);
        let now = self.now().await?;
        let held_until = Score::saturating(now.plus(HOLD).as_millis());
        let demands = claimants
            .iter()
            .map(|claimant| plan::take(&claimant.demand, held_until))
            .collect();
        let taken = self.nexus.take(&self.space, demands).await?;
        fail::fail_point!(crate::fail_points::TAKEN, |_| Err(LedgerError::no_answer(
            Duration::ZERO
        )));
        // After the take: what was submitted after the intent was set is among the taken only if the intent is seen here.
        let served = claimants
            .iter()
            .zip(&taken)
            .filter(|(_, taken)| !taken.is_empty());
        let names = served.map(|(claimant, _)| claimant.agent.name.clone());
        let draining = self.told_to_drain(names.collect()).await?;
        let mut claimed = vec![Claimed::default(); claimants.len()];
        let (mut planned, mut unwanted) = (Vec::new(), Vec::new());
        for (index, (claimant, taken)) in claimants.iter().zip(taken).enumerate() {
            if draining.contains(&claimant.agent.name) {
                claimed[index].draining = true;
                unwanted.extend(taken);
                continue;
            }
            for one in taken {
                match self.plan_claim(&one, &claimant.agent, held_until, (now, ttl)) {
                    Ok(Some((tx, granted))) => planned.push((index, tx, granted)),
                    Ok(None) => {}
                    Err(error) => tracing::error!(job = %one.member, %error, "a taken job cannot be claimed"),
                }
            }
        }
        let (txs, grants): (Vec<_>, Vec<_>) =
            planned.into_iter().map(|(i, tx, grant)| (tx, (i, grant))).unzip();
        let outcomes = self.commit_claims(txs).await?;
        for ((index, grant), outcome) in grants.into_iter().zip(outcomes) {
            match (outcome, claimed.get_mut(index)) {
                (Outcome::Applied | Outcome::Already, Some(answer)) => answer.leases.push(grant),
                (Outcome::Applied | Outcome::Already | Outcome::Refused { .. } | Outcome::Full, _) => {}
            }
        }
        let unwanted = Unwanted {
            taken: unwanted,
            held_until,
        };
        Ok(Claims { claimed, unwanted })
    }

    /// Commits batch by batch. A failure after the first one keeps nothing from those that were committed; the jobs of
    /// the rest are held, and the reaper returns them, or they are leases that their agents find.
    async fn commit_claims(&self, txs: Vec<Transaction>) -> Result<Vec<Outcome>, LedgerError> {
        let mut outcomes = Vec::with_capacity(txs.len());
        for batch in batches(txs) {
            match self.commit_batch(batch, Durability::Disk).await {
                Ok(more) => outcomes.extend(more),
                Err(error) if outcomes.is_empty() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "a part of the taken jobs cannot be claimed and waits for the reaper");
                    break;
                }
            }
        }
        Ok(outcomes)
    }

    /// Puts back into their lanes what a claim took for agents that drain. What cannot be put back now, the reaper
    /// returns after the hold.
    pub async fn put_back(&self, unwanted: Unwanted) {
        let Unwanted { taken, held_until } = unwanted;
        let txs = taken.iter().filter_map(|one| {
            let job = one.records.first()?.as_ref()?;
            let before = StoredJob::read(&one.member, job).ok()?;
            Some(plan::return_held(
                self.tx_id(),
                &one.member,
                held_until,
                Some(&before),
            ))
        });
        if let Err(error) = self.commit_counted(txs.collect(), Durability::Process).await {
            tracing::warn!(%error, "jobs that were taken for a draining agent wait for the reaper");
        }
    }

    fn plan_claim(
        &self,
        taken: &Taken,
        agent: &AgentRef,
        held_until: Score,
        when: (Timestamp, Duration),
    ) -> Result<Option<(Transaction, Granted)>, LedgerError> {
        let [Some(job), Some(spec)] = taken.records.as_slice() else {
            return Ok(None);
        };
        let before = StoredJob::read(&taken.member, job)?;
        let spec = JobSpec::from_canonical(&spec.bytes)?;
        let planned = plan::claim(self.tx_id(), &before, agent, held_until, when).ok();
        Ok(planned.map(|(tx, job)| (tx, Granted { job, spec })))
    }

    /// Renews leases. One answer for each item.
    ///
    /// # Errors
    /// The nexus does not answer; nothing is known of any lease then.
    pub async fn renew(
        &self,
        agent: &AgentId,
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
            for (item, renewal) in open.iter().zip(self.plan_renewals(agent, &open, ttl).await?) {
                match (renewal, answers.get_mut(item.0)) {
                    (Renewal::Commit(tx, standing), _) => {
                        txs.push(*tx);
                        planned.push((*item, standing));
                    }
                    (Renewal::Unreadable, Some(answer)) => *answer = Renewed::Live,
                    (Renewal::Lost | Renewal::Unreadable, _) => {}
                }
            }
            let mut changed = Vec::new();
            for ((item, standing), outcome) in planned
                .into_iter()
                .zip(self.commit(txs, Durability::Process).await?)
            {
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
        agent: &AgentId,
        items: &[(usize, &RenewItem)],
        ttl: Duration,
    ) -> Result<Vec<Renewal>, LedgerError> {
        let now = self.now().await?;
        let ulids: Vec<String> = items.iter().map(|(_, item)| item.job.ulid().to_owned()).collect();
        let deadlines = self.deadlines(agent, &ulids).await?;
        let mut renewals = Vec::with_capacity(items.len());
        for (((_, item), found), deadline) in items.iter().zip(self.load_all(&ulids).await?).zip(deadlines) {
            let planned = match (found, deadline) {
                (Some(Ok(before)), Some(_)) if has_overrun(before.job(), item.ran) => {
                    self.take_overrun(item).await
                }
                (Some(Ok(before)), Some(deadline)) => {
                    let lease = Lease {
                        agent,
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
                (None, _) | (_, None) => Renewal::Lost,
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

    /// Where the leases of an agent stand.
    async fn deadlines(&self, agent: &AgentId, ulids: &[String]) -> Result<Vec<Option<Score>>, LedgerError> {
        let mut deadlines = Vec::with_capacity(ulids.len());
        for part in ulids.chunks(nexus::limits::FETCH_MAX) {
            let scores = self.nexus.scores(&self.space, &leases_set(agent), part).await?;
            deadlines.extend(scores);
        }
        Ok(deadlines)
    }

    /// All live leases of an agent, with their specs, except those that `listed` names.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn leases_of(
        &self,
        agent: &AgentId,
        listed: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<Granted>, LedgerError> {
        let page = Ascending {
            after: None,
            up_to: None,
            n: nexus::limits::PAGE_MAX,
        };
        let members = self.nexus.range(&self.space, &leases_set(agent), page).await?;
        let ulids: Vec<String> = members
            .into_iter()
            .map(|(_, ulid)| ulid)
            .filter(|ulid| !listed(ulid))
            .collect();
        let mut leases = Vec::new();
        for (ulid, found) in ulids.iter().zip(self.load_all(&ulids).await?) {
            let stored = match found {
                None => continue,
                Some(Ok(stored)) => stored,
                Some(Err(error)) => {
                    tracing::error!(job = %ulid, %error, "a lease cannot be read");
                    continue;
                }
            };
            let held = matches!(&stored.job().state, State::Running(running) if running.agent.id == *agent);
            let spec = self.fetch_one(&keys::spec(ulid)).await?.filter(|_| held);
            let Some(spec) = spec else { continue };
            match JobSpec::from_canonical(&spec.bytes) {
                Ok(spec) => leases.push(Granted {
                    spec,
                    job: stored.record.job,
                }),
                Err(error) => tracing::error!(job = %ulid, %error, "the spec of a lease cannot be read"),
            }
        }
        Ok(leases)
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
