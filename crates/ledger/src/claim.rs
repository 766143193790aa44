//! Claims: how an agent comes to hold leases.
//!
//! A claim is a take (atomic, over all waiting agents at once) and then one commit for each taken job. Whoever dies in
//! between loses nothing: what was taken is held, and the reaper returns it. A claim is synced to the disk before it is
//! answered: one that was forgotten in a loss of power would let a second agent run the job beside the first
//! (docs/decisions/0010). How a lease is kept is in `renew`, how an agent hears of one it never heard of in `told`.

use std::time::Duration;

use domain::plan::LaneDemand;
use domain::{AgentRef, Job, JobSpec, Lane, Timestamp};
use nexus::{Durability, Outcome, Score, Taken, Transaction};

use crate::duty::HOLD;
use crate::error::LedgerError;
use crate::ledger::{Ledger, batches};
use crate::plan;
use crate::quarantine::Unreadable;
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
    /// Where its deadline stands. It moves with whatever the agent hears of it or says.
    pub deadline: Score,
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
    /// How many jobs were taken out of their lanes, whatever became of them: none means that there were none.
    pub taken: usize,
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
    /// that was broken off, is found again by [`Self::tell`].
    pub async fn claim(&self, claimants: &[Claimant], ttl: Duration) -> Result<Claims, LedgerError> {
        let claimants = plan::within_one_take(claimants);
        let now = self.now().await?;
        let held_until = Score::saturating(now.plus(HOLD).as_millis());
        let (demands, sharers) = plan::shared_demands(claimants, held_until);
        let taken = self.nexus.take(&self.space, demands).await?;
        let n_taken = taken.iter().map(Vec::len).sum();
        let taken = plan::shared_out(taken, claimants, &sharers);
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
        let (mut planned, mut unwanted, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
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
                    Err(error) => unreadable.push(Unreadable::held(one.member, held_until, &error)),
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
        // After the answers: it keeps nobody's lease back, whether it succeeds or not.
        if let Err(error) = self.quarantine(unreadable, now).await {
            tracing::warn!(%error, "taken jobs that cannot be read stay held for now");
        }
        let unwanted = Unwanted {
            taken: unwanted,
            held_until,
        };
        Ok(Claims {
            claimed,
            taken: n_taken,
            unwanted,
        })
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
        let [job, spec] = taken.records.as_slice() else {
            return Ok(None);
        };
        // Without a record there is no job; the reaper ends the hold of what is not there.
        let Some(job) = job else { return Ok(None) };
        let before = StoredJob::read(&taken.member, job)?;
        let spec = spec
            .as_ref()
            .ok_or_else(|| LedgerError::NoSpec(taken.member.clone()))?;
        let spec = JobSpec::from_canonical(&spec.bytes)?;
        let planned = plan::claim(self.tx_id(), &before, agent, held_until, when).ok();
        let deadline = plan::lease_end(when);
        Ok(planned.map(|(tx, job)| (tx, Granted { job, spec, deadline })))
    }
}
