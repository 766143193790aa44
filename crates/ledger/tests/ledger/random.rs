//! Everything in random order, with crashes, lost replies and torn batches in the middle: the promises hold.
//!
//! Each step may break off at any call to the nexus; then the coordinator that made it is gone, and somebody asks
//! again some day. After each step the store is checked, in the end all work is done and what was acknowledged is
//! looked for. The seed is printed when a sequence fails, and kept next to this file.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::job::{AttemptEnd, RunEnd};
use domain::{Cause, Job, JobId, JobSpec, ProvenLease};
use ledger::{Claims, FinishRefused, LogChunk, RenewItem, Renewed};
use proptest::prelude::*;

use crate::pool::{BEAT, Pool, TTL, agent, cancel, ended, grouped, keyed, retried, spec};

/// Steps of one sequence.
const STEPS_MAX: usize = 60;
/// Passes until all work must be done: some leases have to be overdue first.
const DRAIN_MAX: usize = 400;
const AGENTS: [u8; 2] = [1, 2];

#[derive(Debug, Clone)]
enum Step {
    Submit {
        key: u8,
    },
    Claim {
        agent: u8,
        n: usize,
    },
    Adopt {
        agent: u8,
    },
    Renew {
        agent: u8,
    },
    Log {
        agent: u8,
    },
    Finish {
        agent: u8,
        end: End,
    },
    GiveBack {
        agent: u8,
    },
    /// A finish of long ago arrives once more.
    Late {
        nth: usize,
    },
    Cancel {
        nth: usize,
    },
    Reap,
    FireTimers,
    FollowUp,
    Wait {
        secs: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum End {
    Success,
    Failure,
    DiskFull,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    CrashAfter(usize),
    LoseReplies(usize),
    TearAfter(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let agent = || prop::sample::select(AGENTS.to_vec());
    let end = prop::sample::select(vec![End::Success, End::Failure, End::DiskFull]);
    prop_oneof![
        3 => (0u8..5).prop_map(|key| Step::Submit { key }),
        4 => (agent(), 1usize..4).prop_map(|(agent, n)| Step::Claim { agent, n }),
        1 => agent().prop_map(|agent| Step::Adopt { agent }),
        2 => agent().prop_map(|agent| Step::Renew { agent }),
        1 => agent().prop_map(|agent| Step::Log { agent }),
        3 => (agent(), end).prop_map(|(agent, end)| Step::Finish { agent, end }),
        1 => agent().prop_map(|agent| Step::GiveBack { agent }),
        1 => (0usize..20).prop_map(|nth| Step::Late { nth }),
        1 => (0usize..10).prop_map(|nth| Step::Cancel { nth }),
        4 => Just(Step::Reap),
        1 => Just(Step::FireTimers),
        2 => Just(Step::FollowUp),
        3 => (1u64..20).prop_map(|secs| Step::Wait { secs }),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        2 => (0usize..9).prop_map(Fault::CrashAfter),
        1 => (1usize..3).prop_map(Fault::LoseReplies),
        1 => (0usize..4).prop_map(Fault::TearAfter),
    ]
}

fn lease_of(a: u8, job: &JobId, attempt: u32) -> ProvenLease {
    ProvenLease {
        agent: agent(a).id,
        ..crate::pool::lease(job, attempt)
    }
}

/// What everybody else remembers, to hold it against the store.
#[derive(Default)]
struct Memory {
    /// Acknowledged submits, by key.
    submitted: BTreeMap<u8, Vec<JobId>>,
    /// Acknowledged finishes that were not repetitions.
    finished: Vec<(JobId, u32, AttemptEnd)>,
    /// What agents believe to hold.
    leases: BTreeMap<u8, Vec<(JobId, u32)>>,
    /// Finishes that were ever sent.
    sent: Vec<(ProvenLease, RunEnd)>,
    /// Each job as it was last seen.
    seen: BTreeMap<JobId, Job>,
}

/// The jobs of a key: some of each kind.
fn jobs(pool: &Pool, key: u8) -> Vec<JobSpec> {
    let start = crate::pool::START;
    let later = JobSpec {
        not_before: Some(start.plus(Duration::from_secs(60 + u64::from(key)))),
        ..retried(2)
    };
    let in_group = JobSpec {
        max_attempts: 2,
        ..grouped("licence", 1)
    };
    debug_assert!(pool.now() >= start);
    match key {
        0 => vec![spec(), retried(3)],
        1 => vec![in_group.clone(), in_group.clone(), in_group],
        2 => vec![later],
        3 => vec![retried(2); 3],
        _ => vec![JobSpec {
            group: in_group.group,
            ..later
        }],
    }
}

impl Memory {
    async fn act(&mut self, pool: &Pool, step: &Step) {
        match *step {
            Step::Submit { key } => self.submit(pool, key).await,
            Step::Claim { agent: a, n } => {
                let claimant = pool.claimant(a, n).await;
                let claimed = pool.ledger.claim(&[claimant], TTL).await;
                if let Ok(Claims {
                    claimed, unwanted, ..
                }) = claimed
                {
                    pool.ledger.put_back(unwanted).await;
                    let leases = claimed.into_iter().flat_map(|claimed| claimed.leases);
                    self.hold(a, leases.map(|lease| lease.job));
                }
            }
            Step::Adopt { agent: a } => {
                let leases = pool.ledger.tell(&agent(a).id, |_| false, TTL).await;
                self.hold(a, leases.unwrap_or_default().into_iter().map(|lease| lease.job));
            }
            Step::Renew { agent: a } => self.renew(pool, a).await,
            Step::Log { agent: a } => {
                if let Some((job, attempt)) = self.first_lease(a) {
                    let stored = pool.other().log_status(&job, attempt).await.unwrap().stored();
                    let chunk = LogChunk {
                        offset: stored,
                        bytes: b"line\n".to_vec(),
                    };
                    drop(pool.ledger.append_log(&lease_of(a, &job, attempt), &chunk).await);
                }
            }
            Step::Finish { agent: a, end } => {
                if let Some((job, attempt)) = self.first_lease(a) {
                    let lease = lease_of(a, &job, attempt);
                    self.sent.push((lease.clone(), run_end(end)));
                    if self.finish(pool, (lease, run_end(end))).await {
                        self.forget(a, &job);
                    }
                }
            }
            Step::Late { nth } => {
                if let Some(sent) = self.sent.get(nth).cloned() {
                    self.finish(pool, sent).await;
                }
            }
            Step::GiveBack { agent: a } => {
                if let Some((job, attempt)) = self.first_lease(a) {
                    let why = domain::job::GiveBack::Drain;
                    drop(pool.ledger.give_back(&lease_of(a, &job, attempt), why).await);
                    self.forget(a, &job);
                }
            }
            Step::Cancel { nth } => {
                if let Some(job) = self.seen.keys().nth(nth).cloned() {
                    drop(pool.ledger.apply(&job, cancel()).await);
                }
            }
            Step::Reap => drop(pool.ledger.reap(TTL).await),
            Step::FireTimers => drop(pool.ledger.fire_timers().await),
            Step::FollowUp => drop(pool.ledger.follow_up().await),
            Step::Wait { secs } => pool.advance(Duration::from_secs(secs)),
        }
    }

    async fn submit(&mut self, pool: &Pool, key: u8) {
        let request = keyed(&format!("key-{key}"), jobs(pool, key));
        let mut answers = pool.ledger.submit(&[request]).await;
        if let Some(Ok(accepted)) = answers.pop() {
            let first = self.submitted.entry(key).or_insert_with(|| accepted.ids.clone());
            assert_eq!(*first, accepted.ids, "a repeated submit gave other jobs");
        }
    }

    async fn renew(&mut self, pool: &Pool, a: u8) {
        let leases = self.leases.get(&a).cloned().unwrap_or_default();
        let items: Vec<RenewItem> = leases
            .iter()
            .map(|(job, attempt)| RenewItem {
                job: job.clone(),
                attempt: *attempt,
                ran: Duration::ZERO,
            })
            .collect();
        let answers = pool
            .ledger
            .renew(&agent(a), &items, TTL)
            .await
            .unwrap_or_default();
        for ((job, _), answer) in leases.iter().zip(answers) {
            if answer == Renewed::Lost {
                self.forget(a, job);
            }
        }
    }

    /// Sends a finish; true when it is settled. A log that was shipped before is part of it.
    async fn finish(&mut self, pool: &Pool, (lease, end): (ProvenLease, RunEnd)) -> bool {
        let (job, attempt) = (lease.job.clone(), lease.attempt);
        let log = pool.other().log_tail(&job, attempt).await.unwrap();
        let mut item = ended(&job, attempt, end.clone());
        item.report.evidence = Some(crate::pool::evidence(&log));
        item.lease = lease.clone();
        let was_live = self.seen.get(&job).is_some_and(|job| lease.is_live(job));
        let answer = pool.ledger.finish(&[item]).await.pop().unwrap();
        if answer.is_ok() && was_live {
            self.finished.push((job, attempt, attempt_end(end)));
            return true;
        }
        matches!(answer, Ok(()) | Err(FinishRefused::Rules(_)))
    }

    fn hold(&mut self, a: u8, jobs: impl Iterator<Item = Job>) {
        let leases = self.leases.entry(a).or_default();
        for job in jobs {
            let lease = (job.id, job.attempt);
            if !leases.contains(&lease) {
                leases.push(lease);
            }
        }
    }

    fn forget(&mut self, a: u8, job: &JobId) {
        if let Some(leases) = self.leases.get_mut(&a) {
            leases.retain(|(held, _)| held != job);
        }
    }

    fn first_lease(&self, a: u8) -> Option<(JobId, u32)> {
        self.leases.get(&a)?.first().cloned()
    }

    /// Compares all jobs with how they were last seen.
    async fn look(&mut self, pool: &Pool) {
        pool.check().await;
        let page = pool.other().page(None, None, 100).await.unwrap();
        for job in page.jobs {
            assert!(job.charged <= job.max_attempts);
            if let Some(before) = self.seen.get(&job.id) {
                assert!(before.attempt <= job.attempt && before.charged <= job.charged);
                if before.state.name().is_terminal() {
                    assert_eq!(*before, job, "a terminal state changed");
                }
            }
            self.seen.insert(job.id.clone(), job);
        }
    }

    /// What was acknowledged is there.
    async fn verify(&self, pool: &Pool) {
        for id in self.submitted.values().flatten() {
            assert!(self.seen.contains_key(id), "an acknowledged job is lost");
        }
        for (id, attempt, end) in &self.finished {
            let detail = pool.other().detail(id).await.unwrap().unwrap();
            let kept = detail.attempts.iter().find(|kept| kept.number == *attempt);
            assert_eq!(
                kept.map(|kept| &kept.end),
                Some(end),
                "an acknowledged finish is lost"
            );
        }
        for (id, job) in &self.seen {
            let detail = pool.other().detail(id).await.unwrap().unwrap();
            let numbers: Vec<u32> = detail.attempts.iter().map(|attempt| attempt.number).collect();
            assert_eq!(numbers, (1..=job.attempt).collect::<Vec<_>>());
        }
    }
}

const fn run_end(end: End) -> RunEnd {
    match end {
        End::Success => RunEnd::Succeeded,
        End::Failure => RunEnd::Failed(Cause::Exit { code: 1 }),
        End::DiskFull => RunEnd::Failed(Cause::Disk),
    }
}

fn attempt_end(end: RunEnd) -> AttemptEnd {
    match end {
        RunEnd::Succeeded => AttemptEnd::Succeeded,
        RunEnd::Failed(cause) => AttemptEnd::Failed(cause),
        RunEnd::Cancelled => AttemptEnd::Cancelled,
    }
}

async fn run(steps: Vec<(Step, Fault)>) {
    let pool = Pool::with_reapers().await;
    let mut memory = Memory::default();
    for (step, fault) in steps {
        match fault {
            Fault::None => {}
            Fault::CrashAfter(calls) => pool.nexus.crash_after(calls),
            Fault::LoseReplies(n) => pool.nexus.lose_replies(n),
            Fault::TearAfter(n) => pool.nexus.tear_after(n),
        }
        memory.act(&pool, &step).await;
        pool.nexus.heal();
        memory.look(&pool).await;
    }
    drain(&pool, &mut memory).await;
    memory.verify(&pool).await;
}

/// Without faults all work comes to its end. The agents from before are gone; another one does it.
async fn drain(pool: &Pool, memory: &mut Memory) {
    for _ in 0..DRAIN_MAX {
        pool.advance(BEAT);
        pool.reap().await;
        pool.ledger.fire_timers().await.unwrap();
        pool.ledger.follow_up().await.unwrap();
        for lease in pool.claim(3, 10).await {
            let done = (lease.job.id, lease.job.attempt, RunEnd::Succeeded);
            pool.finish(&done.0, done.1, done.2).await.unwrap();
        }
        memory.look(pool).await;
        if memory.seen.values().all(|job| job.state.name().is_terminal()) {
            return;
        }
    }
    panic!("some job never ends");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_promises_hold_whatever_happens(
        steps in prop::collection::vec((step(), fault()), 1..STEPS_MAX),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}
