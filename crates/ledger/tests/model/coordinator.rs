//! The steps of a coordinator: read, decide with the production functions, commit, answer.
//!
//! Between any two of them the other coordinator, the agents and the clock may do anything, and the coordinator may
//! crash. A refused commit ends the step; whoever asked asks again.

use std::sync::Arc;

use domain::job::{GiveBack, apply, leases_set};
use domain::plan::{ReapPlan, plan_claim};
use domain::{JobEvent, Move, Step};
use ledger::transaction::{StoredJob, changed, keep_attempt};
use ledger::{HOLD, keys, plan};
use nexus::{Score, Transaction};

use crate::bounds::{Bounds, TICK};
use crate::mutation::Mutation;
use crate::promises::{Before, Deed, is_served, judge};
use crate::sample::{agent, finished, job_id, principal, seeker, time};
use crate::world::{Message, Target, Work, World};

/// A world in motion: what its steps need to know besides.
pub(crate) struct Stage<'a> {
    pub(crate) world: World,
    pub(crate) bounds: &'a Bounds,
    pub(crate) mutation: Option<Mutation>,
}

/// Whether an answer arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Arrives,
    Lost,
}

impl Stage<'_> {
    pub(crate) fn ttl(&self) -> std::time::Duration {
        TICK * u32::try_from(self.bounds.ttl).expect("a TTL has few ticks")
    }

    /// Takes the best-placed job for an agent with an open slot.
    pub(crate) fn take(&mut self, c: usize, a: usize) -> Option<()> {
        let read_at = self.world.now;
        let held_until = Score::saturating(time(read_at).plus(HOLD).as_millis());
        let demand = plan_claim(&seeker(), &self.world.pool.lanes())?;
        let (job, before) = self.world.pool.take(&demand, held_until)?;
        self.world.coordinators[c] = Work::Taken {
            agent: a,
            process: self.world.agents[a].process,
            job,
            before: Arc::new(before),
            held_until,
            read_at,
        };
        Some(())
    }

    /// Commits the claim of a taken job and answers.
    pub(crate) fn claim(&mut self, c: usize, reply: Reply) -> Option<()> {
        let Work::Taken {
            agent: a,
            process,
            job,
            before,
            held_until,
            read_at,
        } = self.finish_work(c)
        else {
            return None;
        };
        let (id, when) = (self.world.pool.tx_id(), (time(read_at), self.ttl()));
        let Ok((mut tx, claimed)) = plan::claim(id, &before, &agent(a, process), held_until, when) else {
            return Some(());
        };
        if let Some(mutation) = self.mutation {
            mutation.claim(&mut tx);
        }
        if !self.commit(job, &tx, Deed::Claim) {
            return Some(());
        }
        match reply {
            Reply::Arrives => self.grant(a, process, (job, claimed.attempt), read_at + self.bounds.ttl),
            Reply::Lost => {
                self.world.coordinators[c] = Work::Untold {
                    agent: a,
                    process,
                    job,
                    attempt: claimed.attempt,
                    deadline: Score::saturating(time(read_at + self.bounds.ttl).as_millis()),
                    read_at,
                };
            }
        }
        Some(())
    }

    /// Reads a job that an agent wants to renew. That a lease is lost is answered at once.
    pub(crate) fn read_for_renewal(&mut self, c: usize, a: usize) -> Option<()> {
        let asking = &self.world.agents[a];
        let (process, lease) = (asking.process, asking.lease.clone()?);
        let own = agent(a, process).id;
        let before = self.world.pool.job(lease.job).clone();
        let read_at = self.world.now;
        let id = self.world.pool.tx_id();
        let planned = self
            .world
            .pool
            .score(&leases_set(&own), lease.job)
            .and_then(|deadline| {
                let lease = plan::Lease {
                    agent: &own,
                    attempt: lease.attempt,
                    deadline,
                };
                plan::renew(id, &before, &lease, (time(read_at), self.ttl()))
            });
        match planned {
            None => self.world.agents[a].lease = None,
            Some(tx) => {
                self.world.coordinators[c] = Work::Renewing {
                    agent: a,
                    process,
                    job: lease.job,
                    tx: Arc::new(tx),
                    before,
                    read_at,
                };
            }
        }
        Some(())
    }

    /// Commits a renewal and answers.
    pub(crate) fn renew(&mut self, c: usize, reply: Reply) -> Option<()> {
        let Work::Renewing {
            agent: a,
            process,
            job,
            tx,
            before,
            read_at,
        } = self.finish_work(c)
        else {
            return None;
        };
        let mut tx = Transaction::clone(&tx);
        if let Some(mutation) = self.mutation {
            mutation.renew(&mut tx);
        }
        let leases = leases_set(&agent(a, process).id);
        let deadline = self.world.pool.score(&leases, job);
        if !self.world.pool.commit(&tx) {
            return Some(());
        }
        if self.world.pool.score(&leases, job) != deadline {
            self.note_renewal(job);
        }
        if reply == Reply::Arrives {
            let fence_at = read_at + self.bounds.ttl;
            self.hear_renewed((a, process), job, fence_at, &before);
        }
        Some(())
    }

    /// Reapers that have read this lease are told, for the judgement only.
    pub(crate) fn note_renewal(&mut self, job: usize) {
        for work in &mut self.world.coordinators {
            if let Work::Reaping { targets, .. } = work {
                for target in targets.iter_mut().filter(|target| target.job == job) {
                    target.renewed = true;
                }
            }
        }
        self.world.ghost.saved |= self.world.ghost.graced.remove(&job);
    }

    /// Reads the job that a request is about. A repetition and a refusal are answered at once.
    pub(crate) fn read_for_request(&mut self, c: usize, message: &Message) -> Option<()> {
        let before = self.world.pool.job(message.job()).clone();
        let read_at = self.world.now;
        match apply(before.job(), self.event(message, &before), time(read_at)) {
            Ok(Step::Same) | Err(_) => self.hear_answer(message),
            Ok(Step::Moved(_)) => {
                self.world.coordinators[c] = Work::Handling {
                    message: message.clone(),
                    before,
                    read_at,
                };
                Some(())
            }
        }
    }

    /// Commits what a request asks for and answers.
    pub(crate) fn handle(&mut self, c: usize, reply: Reply) -> Option<()> {
        let Work::Handling {
            message,
            before,
            read_at,
        } = self.finish_work(c)
        else {
            return None;
        };
        let event = self.event(&message, &before);
        let step = apply(before.job(), event, time(read_at))
            .ok()
            .and_then(plan::moved)?;
        let mut tx = self.change(&before, step, read_at);
        let deed = match message {
            Message::Finish { attempt, .. } | Message::GiveBack { attempt, .. } => Deed::ByAgent { attempt },
            Message::Cancel { .. } => Deed::Cancel,
        };
        if let (Some(mutation), Message::Finish { .. }) = (self.mutation, &message) {
            mutation.finish(&mut tx);
        }
        if !self.commit(message.job(), &tx, deed) {
            return Some(());
        }
        if deed == Deed::Cancel && self.bounds.witnesses {
            self.world.ghost.cancels.insert(message.job());
        }
        if reply == Reply::Arrives {
            self.hear_answer(&message);
        }
        Some(())
    }

    fn event(&self, message: &Message, before: &StoredJob) -> JobEvent {
        let event = match *message {
            Message::Finish { attempt, end, .. } => finished(attempt, end),
            Message::GiveBack { attempt, .. } => JobEvent::GivenBack {
                attempt,
                why: GiveBack::Drain,
            },
            Message::Cancel { .. } => JobEvent::CancelRequested {
                by: principal(),
                reason: None,
            },
        };
        match self.mutation {
            Some(mutation) => mutation.event(event, before.job()),
            None => event,
        }
    }

    /// The transaction of a step, the record of ended attempts included: as the ledger makes it.
    pub(crate) fn change(
        &mut self,
        before: &StoredJob,
        mut step: Move<domain::Job>,
        read_at: u64,
    ) -> Transaction {
        let ended = step.ended.take();
        let id = step.next.id.clone();
        let n = self.world.pool.number(id.ulid());
        let mut tx = changed(self.world.pool.tx_id(), before, step, time(read_at), None);
        if let Some(attempt) = ended {
            keep_attempt(&mut tx, &id, attempt, self.world.pool.attempts(n));
        }
        tx
    }

    /// Reads what the reapers know of each other.
    pub(crate) fn read_beat(&mut self, c: usize) -> Option<()> {
        self.world.coordinators[c] = Work::BeatRead {
            last: self.world.pool.beat(),
            read_at: self.world.now,
        };
        Some(())
    }

    /// Leaves a beat and, if leases may be taken, reads which are overdue.
    pub(crate) fn beat(&mut self, c: usize) -> Option<()> {
        let Work::BeatRead { last, read_at } = self.finish_work(c) else {
            return None;
        };
        let id = self.world.pool.tx_id();
        let beat = plan::beat(id, last.as_ref(), time(read_at), self.bounds.ttl_max());
        let Some((plan, tx)) = beat else {
            return Some(());
        };
        if !self.world.pool.commit(&tx) {
            return Some(());
        }
        let gap = last.is_none_or(|(_, beat)| {
            time(read_at).since(beat.value.at) > domain::plan::beat_gap(self.bounds.ttl_max())
        });
        if gap {
            self.world.ghost.served_since = read_at;
        }
        let overdue = self.world.pool.overdue(read_at, id.into());
        if plan != ReapPlan::Reap && self.bounds.witnesses {
            self.world
                .ghost
                .graced
                .extend(overdue.iter().map(|(job, _)| *job));
        }
        let plan = self.mutation.map_or(plan, |mutation| mutation.plan(plan));
        if plan == ReapPlan::Reap && !overdue.is_empty() {
            let pool = &self.world.pool;
            let targets = overdue.into_iter().map(|(job, overdue)| Target {
                job,
                before: pool.job(job).clone(),
                overdue,
                renewed: false,
            });
            self.world.coordinators[c] = Work::Reaping {
                targets: targets.collect(),
                read_at,
                served_since: self.world.ghost.served_since,
            };
        }
        Some(())
    }

    /// Takes the next overdue lease.
    pub(crate) fn reap(&mut self, c: usize) -> Option<()> {
        let Work::Reaping {
            mut targets,
            read_at,
            served_since,
        } = self.finish_work(c)
        else {
            return None;
        };
        let target = targets.remove(0);
        if !targets.is_empty() {
            self.world.coordinators[c] = Work::Reaping {
                targets,
                read_at,
                served_since,
            };
        }
        let Some((step, guards)) = plan::reap(&target.before, &target.overdue, time(read_at)) else {
            return Some(());
        };
        let mut tx = self.change(&target.before, step, read_at);
        tx.guards.extend(guards);
        if let Some(mutation) = self.mutation {
            mutation.reap(&mut tx);
        }
        let deed = Deed::Reap {
            renewed: target.renewed,
            served: is_served(served_since, read_at, self.bounds),
        };
        self.commit(target.job, &tx, deed);
        Some(())
    }

    /// Reads that the hold of a job is over.
    pub(crate) fn read_hold(&mut self, c: usize, job: usize) -> Option<()> {
        let due = self.world.pool.due(keys::HELD, self.world.now);
        let (until, _) = due.into_iter().find(|(_, held)| *held == job)?;
        let before = self.world.pool.job(job).clone();
        self.world.coordinators[c] = Work::Returning { job, until, before };
        Some(())
    }

    /// Ends a hold.
    pub(crate) fn end_hold(&mut self, c: usize) -> Option<()> {
        let Work::Returning { job, until, before } = self.finish_work(c) else {
            return None;
        };
        let id = self.world.pool.tx_id();
        let tx = plan::return_held(id, job_id(job).ulid(), until, Some(&before));
        if self.world.pool.commit(&tx) {
            self.world.ghost.returned |= self.bounds.witnesses;
        }
        Some(())
    }

    pub(crate) fn finish_work(&mut self, c: usize) -> Work {
        std::mem::replace(&mut self.world.coordinators[c], Work::Idle)
    }

    /// Commits a change of a job, and judges it.
    pub(crate) fn commit(&mut self, job: usize, tx: &Transaction, deed: Deed) -> bool {
        let before = Before::of(&self.world.pool, job);
        let is_applied = self.world.pool.commit(tx);
        if is_applied {
            let broken = judge(&before, &self.world.pool, job, deed);
            self.world.ghost.broken.extend(broken);
        }
        is_applied
    }
}
