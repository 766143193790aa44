//! What agents do and hear: they start what they were granted, freeze when nobody answers, end, give back and die.
//!
//! An agent freezes its run by its own clock, counted from when it sent the last request that was accepted. So a
//! freeze is no step here: a run is frozen once the tick of its fence has come, and a heard renewal thaws it.

use domain::State;
use domain::job::leases_set;
use ledger::plan;
use ledger::transaction::StoredJob;

use crate::bounds::End;
use crate::coordinator::Stage;
use crate::sample::agent;
use crate::world::{Lease, Message};

impl Stage<'_> {
    /// A lease arrives at an agent, unless its process is another one by now or has a lease already.
    pub(crate) fn grant(&mut self, a: usize, process: u8, (job, attempt): (usize, u32), fence_at: u64) {
        let agent = &mut self.world.agents[a];
        if agent.process == process && agent.lease.is_none() {
            agent.lease = Some(Lease {
                job,
                attempt,
                fence_at,
                cancelled: false,
                ended: false,
            });
        }
    }

    /// A claim finds a live lease of this process that the agent never heard of. Nobody tells it how long the lease
    /// has left, so it stays frozen until it was renewed. What it has given back or finished it remembers.
    pub(crate) fn adopt(&mut self, a: usize) -> Option<()> {
        let process = self.world.agents[a].process;
        let own = agent(a, process).id;
        let leases = self.world.pool.leases_of(&own);
        let job = *leases.iter().find(|job| self.is_unheard_of(**job))?;
        let before = self.world.pool.job(job).clone();
        let attempt = before.job().attempt;
        let lease = plan::Lease {
            agent: &own,
            attempt,
            deadline: self.world.pool.score(&leases_set(&own), job)?,
        };
        let when = (crate::sample::time(self.world.now), self.ttl());
        let (tx, _) = plan::tell(self.world.pool.tx_id(), &before, &lease, when)?;
        assert!(self.world.pool.commit(&tx), "nothing comes between in one step");
        self.note_renewal(job);
        self.grant(a, process, (job, attempt), self.world.now);
        Some(())
    }

    fn is_unheard_of(&self, n: usize) -> bool {
        let live = self.world.pool.job(n).job().attempt;
        !self.world.wire.iter().any(|message| match *message {
            Message::Finish { job, attempt, .. } | Message::GiveBack { job, attempt } => {
                job == n && attempt == live
            }
            Message::Cancel { .. } => false,
        })
    }

    /// A renewal's answer arrives.
    pub(crate) fn hear_renewed(
        &mut self,
        (a, process): (usize, u8),
        job: usize,
        fence_at: u64,
        before: &StoredJob,
    ) {
        let agent = &mut self.world.agents[a];
        let own = |lease: &&mut Lease| lease.job == job && lease.attempt == before.job().attempt;
        if agent.process != process {
            return;
        }
        if let Some(lease) = agent.lease.as_mut().filter(own) {
            lease.fence_at = lease.fence_at.max(fence_at);
            lease.cancelled |=
                matches!(&before.job().state, State::Running(running) if running.cancel.is_some());
        }
    }

    /// The answer to a request arrives: whatever it says, the attempt is over for its agent. None if nobody waits.
    pub(crate) fn hear_answer(&mut self, message: &Message) -> Option<()> {
        let Message::Finish { job, attempt, .. } = *message else {
            return None;
        };
        let own = |lease: &mut Lease| lease.ended && lease.job == job && lease.attempt == attempt;
        let agents = &mut self.world.agents;
        agents
            .iter_mut()
            .find_map(|agent| agent.lease.take_if(own))
            .map(drop)
    }

    /// A run ends, and its agent sends the finish.
    pub(crate) fn end(&mut self, a: usize, end: End) -> Option<()> {
        let now = self.world.now;
        let lease = self.world.agents[a].lease.as_mut()?;
        // A frozen run does not end by itself, but an agent kills it when it heard of a cancel.
        let can_end = !lease.ended
            && match end {
                End::Cancelled => lease.cancelled,
                End::Success | End::Failure | End::DiskFull | End::AgentDied => now < lease.fence_at,
            };
        can_end.then(|| {
            lease.ended = true;
            let (job, attempt) = (lease.job, lease.attempt);
            self.world.wire.insert(Message::Finish { job, attempt, end });
        })
    }

    /// An agent returns a lease that it never started.
    pub(crate) fn give_back(&mut self, a: usize) -> Option<()> {
        let lease = self.world.agents[a].lease.take_if(|lease| !lease.ended)?;
        self.world.left.give_backs -= 1;
        let Lease { job, attempt, .. } = lease;
        self.world.wire.insert(Message::GiveBack { job, attempt });
        Some(())
    }

    /// An agent's process dies; its successor finds the stored token and reports the death.
    pub(crate) fn die(&mut self, a: usize) -> Option<()> {
        let agent = &mut self.world.agents[a];
        let lease = agent.lease.take()?;
        agent.process += 1;
        self.world.left.deaths -= 1;
        let Lease { job, attempt, .. } = lease;
        let end = End::AgentDied;
        self.world.wire.insert(Message::Finish { job, attempt, end });
        Some(())
    }
}
