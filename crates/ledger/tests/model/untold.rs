//! The step of a coordinator whose reply was lost: it gives the lease back, unless somebody has told its agent since.

use domain::JobEvent;
use domain::job::{GiveBack, apply};
use ledger::plan;

use crate::coordinator::Stage;
use crate::promises::Deed;
use crate::sample::{agent, job_id, time};
use crate::world::{Lease, Work};

impl Stage<'_> {
    /// Gives back a claim whose agent did not hear of it, unless it was told since.
    pub(crate) fn give_back_untold(&mut self, c: usize) -> Option<()> {
        let Work::Untold {
            agent: a,
            process,
            job,
            attempt,
            deadline,
            read_at,
        } = self.finish_work(c)
        else {
            return None;
        };
        let (before, own) = (self.world.pool.job(job).clone(), agent(a, process));
        let event = JobEvent::GivenBack {
            attempt,
            why: GiveBack::Undelivered,
        };
        let Some(step) = apply(before.job(), event, time(read_at))
            .ok()
            .and_then(plan::moved)
        else {
            return Some(());
        };
        let mut tx = self.change(&before, step, read_at);
        tx.guards
            .push(plan::untold(&own.id, job_id(job).ulid(), deadline));
        if let Some(mutation) = self.mutation {
            mutation.untold(&mut tx);
        }
        let believes = |lease: &Lease| lease.job == job && lease.attempt == attempt;
        let agent = &self.world.agents[a];
        let heard = agent.process == process && agent.lease.as_ref().is_some_and(believes);
        self.commit(job, &tx, Deed::Untold { heard });
        Some(())
    }
}
