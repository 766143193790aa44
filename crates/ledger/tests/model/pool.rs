//! The store of one pool as the model keeps it: the reference store itself, and its jobs decoded once per change.
//!
//! Every write of the model goes through [`Pool::commit`], every read through the store's own methods, as the ledger
//! does it; only the waiting for answers is left out.

use std::sync::Arc;

use domain::job::{AGENT_LEASES_FAMILY, Attempt, leases_set};
use domain::plan::LaneDemand;
use domain::{AgentId, Lane};
use ledger::plan::Overdue;
use ledger::record::{AttemptsRecord, BeatRecord, Stored};
use ledger::transaction::{StoredJob, created};
use ledger::{keys, plan};
use nexus::{Ascending, Outcome, Score, Set, Store, Transaction, TxId, Version};

use crate::bounds::Bounds;
use crate::sample::{accepted, job_id, time};

/// More than any set of the model ever has.
const PAGE: usize = 16;

/// A store, and what is in it in readable form.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    store: Arc<Store>,
    jobs: Vec<Arc<StoredJob>>,
    attempts: Vec<Arc<Stored<AttemptsRecord>>>,
    next_tx: u64,
}

impl Pool {
    /// A pool with its jobs submitted at this tick.
    pub(crate) fn new(bounds: &Bounds, tick: u64) -> Self {
        let mut pool = Self {
            store: Arc::default(),
            jobs: Vec::new(),
            attempts: Vec::new(),
            next_tx: 1,
        };
        for n in 0..bounds.jobs {
            let (step, spec) = accepted(n, bounds, tick);
            let tx = created(pool.tx_id(), step, &spec, time(tick));
            assert_eq!(Arc::make_mut(&mut pool.store).commit(&tx), Outcome::Applied);
        }
        pool.jobs = (0..bounds.jobs).map(|n| pool.read_job(n)).collect();
        pool.attempts = vec![Arc::default(); bounds.jobs];
        pool
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// A fresh transaction id.
    pub(crate) fn tx_id(&mut self) -> TxId {
        self.next_tx += 1;
        TxId(self.next_tx)
    }

    /// Commits; true when it was applied.
    pub(crate) fn commit(&mut self, tx: &Transaction) -> bool {
        if self.store.objection(tx).is_some() {
            return false;
        }
        assert_eq!(Arc::make_mut(&mut self.store).commit(tx), Outcome::Applied);
        for n in 0..self.jobs.len() {
            let (job, attempts) = (keys::job(job_id(n).ulid()), keys::attempts(&job_id(n)));
            if tx.puts.iter().any(|(key, _)| *key == job) {
                self.jobs[n] = self.read_job(n);
            }
            if tx.puts.iter().any(|(key, _)| *key == attempts) {
                self.attempts[n] = Arc::new(self.read_attempts(n));
            }
        }
        true
    }

    pub(crate) fn n_jobs(&self) -> usize {
        self.jobs.len()
    }

    /// The `n`-th job as it is now.
    pub(crate) fn job(&self, n: usize) -> &Arc<StoredJob> {
        &self.jobs[n]
    }

    /// The ended attempts of a job that it went on after.
    pub(crate) fn attempts(&self, n: usize) -> &Stored<AttemptsRecord> {
        &self.attempts[n]
    }

    /// Every ended attempt of a job, oldest first.
    pub(crate) fn ended(&self, n: usize) -> impl Iterator<Item = &Attempt> {
        self.attempts[n]
            .value
            .ended
            .iter()
            .chain(self.jobs[n].job().state.final_attempt())
    }

    /// The number of the job with this ULID.
    pub(crate) fn number(&self, ulid: &str) -> usize {
        (0..self.jobs.len())
            .find(|n| self.jobs[*n].job().id.ulid() == ulid)
            .expect("sets hold jobs of the pool only")
    }

    /// The lanes with claimable jobs.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        let heads = self.store.heads(domain::lane::LANE_FAMILY, PAGE);
        heads.iter().filter_map(|(set, _)| Lane::of_set(set)).collect()
    }

    /// Takes for one claimant.
    pub(crate) fn take(&mut self, demand: &LaneDemand, held_until: Score) -> Option<(usize, StoredJob)> {
        let demand = plan::take(demand, held_until);
        let taken = Arc::make_mut(&mut self.store).take(&[demand]).pop()?.pop()?;
        let record = taken.records.first()?.as_ref()?;
        let before = StoredJob::read(&taken.member, record).expect("the model's records are readable");
        Some((self.number(&taken.member), before))
    }

    /// The members of a set that are due at this tick.
    pub(crate) fn due(&self, set: &str, tick: u64) -> Vec<(Score, usize)> {
        self.members(set, Some(Score::saturating(time(tick).as_millis())))
    }

    fn members(&self, set: &str, up_to: Option<Score>) -> Vec<(Score, usize)> {
        let page = Ascending {
            after: None,
            up_to,
            n: PAGE,
        };
        let members = self.store.range(set, &page);
        members
            .into_iter()
            .map(|(score, ulid)| (score, self.number(&ulid)))
            .collect()
    }

    /// The overdue leases of the pool, as a reaper reads them after its beat.
    pub(crate) fn overdue(&self, tick: u64, beat: Version) -> Vec<(usize, Overdue)> {
        let heads = self.store.heads(AGENT_LEASES_FAMILY, PAGE);
        let sets = heads.into_iter().map(|(set, _)| set);
        sets.flat_map(|set| {
            self.due(&set, tick).into_iter().map(move |(deadline, job)| {
                let set = set.clone();
                (job, Overdue { set, deadline, beat })
            })
        })
        .collect()
    }

    /// All members of the sets in which jobs come and go.
    pub(crate) fn standing(&self) -> Vec<(Set, usize, Score)> {
        let families = [domain::lane::LANE_FAMILY, AGENT_LEASES_FAMILY];
        let sets = families
            .iter()
            .flat_map(|family| self.store.heads(family, PAGE))
            .map(|(set, _)| set);
        sets.chain([keys::HELD.to_owned()])
            .flat_map(|set| {
                let members = self.members(&set, None);
                members
                    .into_iter()
                    .map(move |(score, job)| (set.clone(), job, score))
            })
            .collect()
    }

    /// Where a job stands in a set.
    pub(crate) fn score(&self, set: &str, job: usize) -> Option<Score> {
        self.store.score(set, self.jobs[job].job().id.ulid())
    }

    /// The leases that the store knows of an agent.
    pub(crate) fn leases_of(&self, agent: &AgentId) -> Vec<usize> {
        let leases = self.members(&leases_set(agent), None);
        leases.into_iter().map(|(_, job)| job).collect()
    }

    /// The newest beat of a reaper.
    pub(crate) fn beat(&self) -> Option<(Version, Stored<BeatRecord>)> {
        let found = self.store.fetch(&[keys::BEAT.to_owned()]).pop()??;
        let beat = Stored::decode(keys::BEAT, found.bytes).expect("the model's records are readable");
        Some((found.version, beat))
    }

    fn read_job(&self, n: usize) -> Arc<StoredJob> {
        let id = job_id(n);
        let found = self.store.fetch(&[keys::job(id.ulid())]).pop().flatten();
        let stored = StoredJob::read(id.ulid(), &found.expect("jobs are never dropped"));
        Arc::new(stored.expect("the model's records are readable"))
    }

    fn read_attempts(&self, n: usize) -> Stored<AttemptsRecord> {
        let key = keys::attempts(&job_id(n));
        let found = self.store.fetch(std::slice::from_ref(&key)).pop().flatten();
        found.map_or_else(Stored::default, |found| {
            Stored::decode(&key, found.bytes).expect("the model's records are readable")
        })
    }
}
