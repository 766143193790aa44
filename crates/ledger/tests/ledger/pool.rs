//! One pool for one test: a ledger, the nexus beneath it, a clock to set, and short ways to do the usual things.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::job::{Evidence, GiveBack, Group, Report, RunEnd, Usage};
use domain::plan::LaneDemand;
use domain::units::Span;
use domain::{AgentId, AgentRef, Digest, Job, JobEvent, JobId, JobSpec, ProvenLease, State, Timestamp};
use ledger::fsck::fsck;
use ledger::{
    Claimant, Claimed, Claims, FinishItem, FinishRefused, Granted, Idempotency, Ledger, Reaped, RenewItem,
    Renewed, Submission, TxIds,
};
use nexus::{Class, Clock, Discard, Dump, Durability, MemoryNexus, Nexus as _, Space, Transaction, TxId};

use crate::faulty::FaultyNexus;

/// When every test begins.
pub(crate) const START: Timestamp = Timestamp(1_795_000_000_000);
/// The TTL of every lease.
pub(crate) const TTL: Duration = Duration::from_secs(30);
/// How often reapers tick.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

pub(crate) struct Pool {
    pub(crate) ledger: Ledger,
    pub(crate) nexus: Arc<FaultyNexus>,
    pub(crate) tx_ids: TxIds,
    clock: Arc<AtomicU64>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(AtomicU64::new(START.as_millis()));
        let source = Arc::clone(&clock);
        let memory = MemoryNexus::new(Clock::from_fn(move || source.load(Ordering::SeqCst)));
        let nexus = Arc::new(FaultyNexus::new(Arc::new(memory)));
        let next = AtomicU64::new(1);
        let tx_ids: TxIds = Arc::new(move || TxId(next.fetch_add(1, Ordering::SeqCst)));
        let name = "test".parse().expect("a pool name");
        let ledger = Ledger::new(
            Arc::clone(&nexus) as Arc<dyn nexus::Nexus>,
            name,
            Arc::clone(&tx_ids),
        );
        Self {
            ledger,
            nexus,
            tx_ids,
            clock,
        }
    }

    /// Another coordinator's ledger, which no fault touches.
    pub(crate) fn other(&self) -> Ledger {
        let inner = Arc::clone(&self.nexus.inner) as Arc<dyn nexus::Nexus>;
        Ledger::new(inner, self.ledger.pool().clone(), Arc::clone(&self.tx_ids))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock_hand()(by);
    }

    /// Moves the clock, from wherever.
    pub(crate) fn clock_hand(&self) -> impl Fn(Duration) + Send + 'static {
        let clock = Arc::clone(&self.clock);
        move |by| {
            let millis = u64::try_from(by.as_millis()).expect("a short time");
            clock.fetch_add(millis, Ordering::SeqCst);
        }
    }

    /// Another primary answers from now on, whose clock is behind; the nexus in memory never goes back by itself.
    pub(crate) fn step_back(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).expect("a short time");
        self.nexus.step_back(millis);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Ordering::SeqCst))
    }

    /// Submits without a key.
    pub(crate) async fn submit(&self, specs: Vec<JobSpec>) -> Vec<JobId> {
        let request = Submission {
            idempotency: None,
            ..keyed("-", specs)
        };
        let mut answers = self.ledger.submit(&[request]).await;
        answers.pop().unwrap().unwrap().ids
    }

    pub(crate) async fn submit_one(&self, spec: JobSpec) -> JobId {
        self.submit(vec![spec]).await.pop().unwrap()
    }

    /// Claims up to `n` jobs from all lanes.
    pub(crate) async fn claim(&self, a: u8, n: usize) -> Vec<Granted> {
        let claimant = self.claimant(a, n).await;
        self.claim_for(&[claimant]).await.pop().unwrap().leases
    }

    /// Claims for all of them, and puts back what is unwanted.
    pub(crate) async fn claim_for(&self, claimants: &[Claimant]) -> Vec<Claimed> {
        let mut all = Vec::new();
        while let Some(rest) = claimants.get(all.len()..).filter(|rest| !rest.is_empty()) {
            let Claims {
                claimed, unwanted, ..
            } = self.ledger.claim(rest, TTL).await.unwrap();
            self.ledger.put_back(unwanted).await;
            all.extend(claimed);
        }
        all
    }

    pub(crate) async fn claimant(&self, a: u8, n: usize) -> Claimant {
        let lanes = self.other().lanes().await.unwrap();
        Claimant {
            agent: agent(a),
            demand: LaneDemand { lanes, n },
        }
    }

    pub(crate) async fn renew(&self, a: u8, job: &JobId, attempt: u32) -> Renewed {
        let item = RenewItem {
            job: job.clone(),
            attempt,
            ran: Duration::ZERO,
        };
        let answers = self.ledger.renew(&agent(a), &[item], TTL).await;
        answers.unwrap().pop().unwrap()
    }

    pub(crate) async fn finish(&self, job: &JobId, attempt: u32, end: RunEnd) -> Result<(), FinishRefused> {
        let holder = self.holder(job).await;
        let mut item = ended(job, attempt, end);
        item.lease.agent = holder;
        self.ledger.finish(&[item]).await.pop().unwrap()
    }

    /// The agent that holds the job's lease, or the first one.
    async fn holder(&self, job: &JobId) -> AgentId {
        match self.other().load(job).await.unwrap().map(|job| job.into_job()) {
            Some(Job {
                state: State::Running(running),
                ..
            }) => running.agent.id,
            _ => agent(1).id,
        }
    }

    pub(crate) async fn give_back(&self, job: &JobId, attempt: u32) {
        let why = GiveBack::Drain;
        let holder = self.holder(job).await;
        let lease = ProvenLease {
            agent: holder,
            ..lease(job, attempt)
        };
        self.ledger.give_back(&lease, why).await.unwrap();
    }

    pub(crate) async fn cancel(&self, job: &JobId) {
        self.ledger.apply(job, cancel()).await.unwrap();
    }

    pub(crate) async fn reap(&self) -> Reaped {
        self.ledger.reap(TTL).await.unwrap()
    }

    /// Lets reapers tick for so long, without a gap. Returns all that they did.
    pub(crate) async fn reap_for(&self, span: Duration) -> Reaped {
        let mut sum = self.reap().await;
        for _ in 0..span.as_secs() {
            self.advance(BEAT);
            let pass = self.reap().await;
            sum.taken += pass.taken;
            sum.returned += pass.returned;
        }
        sum
    }

    /// A pool whose reapers are past their first grace.
    pub(crate) async fn with_reapers() -> Self {
        let pool = Self::new();
        pool.reap_for(TTL).await;
        pool
    }

    pub(crate) async fn job(&self, id: &JobId) -> Job {
        let stored = self.other().load(id).await.unwrap().expect("the job is there");
        stored.into_job()
    }

    pub(crate) async fn state(&self, id: &JobId) -> State {
        self.job(id).await.state
    }

    pub(crate) async fn dump(&self) -> Dump {
        self.other().dump().await.unwrap()
    }

    /// The members of a set.
    pub(crate) async fn set(&self, set: &str) -> Vec<String> {
        let dump = self.dump().await;
        let members = dump.sets.get(set).into_iter().flatten();
        members.map(|(_, member)| member.clone()).collect()
    }

    /// Changes the store behind the ledger's back.
    pub(crate) async fn damage(&self, damage: impl FnOnce(&mut Transaction)) {
        let mut tx = Transaction::new((self.tx_ids)(), Class::Relief);
        damage(&mut tx);
        let space = Space::new("pool/test").expect("a space");
        let outcomes = self
            .nexus
            .inner
            .commit(&space, vec![tx], Durability::Process)
            .await;
        assert_eq!(outcomes.unwrap(), [nexus::Outcome::Applied]);
    }

    /// Writes a record anew as it is, so that only its version changes.
    pub(crate) fn rewriting(&self, key: String) -> impl Future<Output = ()> + Send + 'static {
        let (nexus, id) = (Arc::clone(&self.nexus.inner), (self.tx_ids)());
        async move {
            let space = Space::new("pool/test").expect("a space");
            let found = nexus.fetch(&space, std::slice::from_ref(&key)).await.unwrap();
            let mut tx = Transaction::new(id, Class::Relief);
            tx.puts
                .push((key, found.into_iter().next().unwrap().unwrap().bytes));
            nexus.commit(&space, vec![tx], Durability::Process).await.unwrap();
        }
    }

    /// Overwrites a record with bytes of another major version.
    pub(crate) async fn poison(&self, key: String) {
        self.damage(|tx| tx.puts.push((key, vec![2, 0]))).await;
    }

    pub(crate) async fn drop_record(&self, key: String) {
        self.damage(|tx| tx.drops.push(Discard::Record(key))).await;
    }

    /// Everything stands where it should, whatever happened.
    pub(crate) async fn check(&self) {
        assert_eq!(fsck(&self.dump().await), []);
    }
}

pub(crate) fn spec() -> JobSpec {
    JobSpec::command(["make", "test"])
}

pub(crate) fn retried(max_attempts: u32) -> JobSpec {
    JobSpec {
        max_attempts,
        ..spec()
    }
}

pub(crate) fn grouped(name: &str, limit: u32) -> JobSpec {
    let name = name.parse().expect("a group name");
    JobSpec {
        group: Some(Group { name, limit }),
        ..spec()
    }
}

/// A request that can be repeated. Its content is what it says.
pub(crate) fn keyed(key: &str, specs: Vec<JobSpec>) -> Submission {
    let content: Vec<u8> = specs.iter().flat_map(JobSpec::canonical).collect();
    Submission {
        principal: "alice".parse().expect("a principal"),
        specs,
        idempotency: Some(Idempotency {
            key: key.to_owned(),
            content: Digest::of(&content),
        }),
    }
}

/// One of a few agent processes.
pub(crate) fn agent(n: u8) -> AgentRef {
    AgentRef {
        id: format!("01k2b3c4d5e6f7g8h9j0kmnpq{n}")
            .parse()
            .expect("an agent id"),
        name: format!("forge-{n}").parse().expect("an agent name"),
        fingerprint: Digest::of(&[n]),
    }
}

pub(crate) fn cancel() -> JobEvent {
    JobEvent::CancelRequested {
        by: "bob".parse().expect("a principal"),
        reason: None,
    }
}

pub(crate) fn evidence(log: &[u8]) -> Evidence {
    Evidence {
        log_bytes: log.len() as u64,
        log_digest: Digest::of(log),
        artifacts: 0,
        ran: Span::from_millis(1),
        usage: Usage::default(),
    }
}

/// A lease of the first agent.
pub(crate) fn lease(job: &JobId, attempt: u32) -> ProvenLease {
    ProvenLease {
        job: job.clone(),
        attempt,
        agent: agent(1).id,
    }
}

/// A run of the first agent that ended and wrote no log.
pub(crate) fn ended(job: &JobId, attempt: u32, end: RunEnd) -> FinishItem {
    FinishItem {
        lease: lease(job, attempt),
        report: Report {
            end,
            evidence: Some(evidence(b"")),
        },
        log: None,
        artifacts: Vec::new(),
    }
}

/// A run that ended well and states this log.
pub(crate) fn ended_with(job: &JobId, log: &[u8]) -> FinishItem {
    let report = Report {
        end: RunEnd::Succeeded,
        evidence: Some(evidence(log)),
    };
    FinishItem {
        report,
        ..ended(job, 1, RunEnd::Succeeded)
    }
}
