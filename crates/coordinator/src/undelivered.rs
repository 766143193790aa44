//! Leases whose agent may not have heard of them, and what becomes of each: it is told, or it is given back.
//!
//! The one idea: whichever is decided first, stands. A claim whose agent gave up on it wants its leases back; the same
//! agent's next request finds them in the ledger and wants to tell of them. Both ask here first, so a lease that was
//! told is not given back under the run that it started, and one that is on its way back is not told. A decision
//! outlives the act, for the ledger may have been read before it. Memory alone: after a crash nothing is on its way back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{JobEvent, JobId};
use ledger::{ApplyError, Granted, LedgerError};
use tokio::time::{Instant, timeout_at};

use crate::coordinator::{Coordinator, NEXUS_WORK_MAX};

/// Decisions that are remembered. Beyond it nothing is decided: what is not told, the agent asks for again; what is not
/// given back is told to it.
const DECISIONS_MAX: usize = 65_536;
/// How long a decision is remembered: above the time that a pass of dispatch, a give-back and a reading of the ledger
/// take together, 15 s, 15 s and 10 s at most.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// An attempt at a job: each is leased once.
type Attempt = (JobId, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Told,
    GivenBack,
}

/// The decisions of one coordinator.
pub(crate) struct Undelivered {
    /// Not an actor: whoever decides looks up a few entries and goes on.
    decisions: Mutex<Decisions>,
}

#[derive(Default)]
struct Decisions {
    by_attempt: HashMap<Attempt, (Decision, Instant)>,
    /// In the order in which they were made.
    made: VecDeque<(Instant, Attempt)>,
}

impl Undelivered {
    pub(crate) fn new() -> Self {
        Self {
            decisions: Mutex::new(Decisions::default()),
        }
    }

    /// Those of the leases that the agent may be told of, as it is from now on.
    pub(crate) fn tell(&self, leases: Vec<Granted>) -> Vec<Granted> {
        self.decide(leases, Decision::Told)
    }

    /// Those of the leases that may be given back, as they are from now on.
    pub(crate) fn give_back(&self, leases: Vec<Granted>) -> Vec<Granted> {
        self.decide(leases, Decision::GivenBack)
    }

    /// Notes that a lease certainly was not given back, so that its agent is told of it when it asks.
    pub(crate) fn was_kept(&self, lease: &Granted) {
        self.decisions().by_attempt.remove(&attempt(lease));
    }

    fn decide(&self, mut leases: Vec<Granted>, wanted: Decision) -> Vec<Granted> {
        if leases.is_empty() {
            return leases;
        }
        let now = Instant::now();
        let mut decisions = self.decisions();
        decisions.forget_old(now);
        leases.retain(|lease| decisions.decide(attempt(lease), wanted, now));
        leases
    }

    fn decisions(&self) -> MutexGuard<'_, Decisions> {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Decisions {
    fn forget_old(&mut self, now: Instant) {
        while let Some((at, attempt)) = self
            .made
            .pop_front_if(|(at, _)| now.duration_since(*at) >= REMEMBERED_FOR)
        {
            // It may have been decided anew since.
            if self.by_attempt.get(&attempt).is_some_and(|(_, made)| *made == at) {
                self.by_attempt.remove(&attempt);
            }
        }
    }

    /// Decides, if that was not done before, and says whether the decision is this one.
    fn decide(&mut self, attempt: Attempt, wanted: Decision, now: Instant) -> bool {
        if let Some((decision, _)) = self.by_attempt.get(&attempt) {
            return *decision == wanted;
        }
        if self.made.len() >= DECISIONS_MAX {
            return false;
        }
        self.made.push_back((now, attempt.clone()));
        self.by_attempt.insert(attempt, (wanted, now));
        true
    }
}

/// Returns leases whose agent has gone away, as many as can be in [`NEXUS_WORK_MAX`]. Where nobody knows whether one was
/// returned, the reaper does it; all others that are left, the agent's next request finds.
pub(crate) async fn give_back(coordinator: Arc<Coordinator>, leases: Vec<Granted>) {
    let over = Instant::now() + NEXUS_WORK_MAX;
    let mut leases = leases.into_iter();
    for lease in leases.by_ref() {
        let event = JobEvent::GivenBack {
            attempt: lease.job.attempt,
            why: domain::job::GiveBack::Undelivered,
        };
        let applied = timeout_at(over, coordinator.ledger.apply(&lease.job.id, event)).await;
        match applied {
            Ok(Ok(_)) => {}
            Ok(Err(ApplyError::Ledger(LedgerError::Nexus(error)))) => {
                tracing::warn!(job.id = %lease.job.id, %error, "an undelivered lease waits for the reaper");
                break;
            }
            Ok(Err(error)) => {
                tracing::warn!(job.id = %lease.job.id, %error, "an undelivered lease stays with its agent");
                coordinator.undelivered.was_kept(&lease);
            }
            Err(_) => {
                tracing::warn!(job.id = %lease.job.id, "an undelivered lease waits for the reaper");
                break;
            }
        }
    }
    leases.for_each(|lease| coordinator.undelivered.was_kept(&lease));
}

fn attempt(lease: &Granted) -> Attempt {
    (lease.job.id.clone(), lease.job.attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: usize) -> Attempt {
        (format!("default-01k2b3c4d5e6f7g8h9j0{n:06}").parse().unwrap(), 1)
    }

    #[test]
    fn the_first_decision_stands_until_it_is_forgotten() {
        let (mut decisions, now) = (Decisions::default(), Instant::now());
        assert!(decisions.decide(job(1), Decision::Told, now));
        assert!(!decisions.decide(job(1), Decision::GivenBack, now));
        assert!(decisions.decide(job(2), Decision::GivenBack, now));
        assert!(!decisions.decide(job(2), Decision::Told, now));
        assert!(decisions.decide(job(1), Decision::Told, now));
        decisions.forget_old(now + REMEMBERED_FOR);
        assert!(decisions.decide(job(1), Decision::GivenBack, now + REMEMBERED_FOR));
    }

    #[test]
    fn beyond_the_limit_nothing_is_decided_until_something_is_forgotten() {
        let (mut decisions, now) = (Decisions::default(), Instant::now());
        for n in 0..DECISIONS_MAX {
            assert!(decisions.decide(job(n), Decision::GivenBack, now));
        }
        let (one_more, later) = (job(DECISIONS_MAX), now + REMEMBERED_FOR);
        assert!(!decisions.decide(one_more.clone(), Decision::Told, now));
        decisions.forget_old(later);
        assert!(decisions.by_attempt.is_empty() && decisions.made.is_empty());
        assert!(decisions.decide(one_more, Decision::Told, later));
    }
}
