//! What must hold: after each commit that touches a job, and in each state.
//!
//! A commit is judged by the job just before and just after it, whatever the committer had read. So a promise about
//! history ("never changes", "rises by one") needs no history in the state: it holds if no step breaks it.

use domain::job::{Attempt, StateName};
use domain::{Job, State};
use ledger::fsck::fsck;

use crate::bounds::Bounds;
use crate::pool::Pool;
use crate::world::World;

/// What the model checks in every state or step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Promise {
    LiveLeaseOnly,
    AttemptsRiseByOne,
    TerminalStaysTerminal,
    LeasesEndByTakingOrByTheirOwn,
    GraceBeforeTaking,
    FinishesStay,
    CancelledIsNotQueuedAgain,
    UnfrozenOnce,
    ChargedWithinBounds,
    EverythingInItsPlace,
}

impl Promise {
    /// The sentence that the checker shows.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::LiveLeaseOnly => "P1 a job has one live lease, and only its attempt writes",
            Self::AttemptsRiseByOne => "P2 attempt numbers rise by one and are never reused",
            Self::TerminalStaysTerminal => "P3 a terminal state never changes",
            Self::ChargedWithinBounds => "P4 a job fails for the machinery only when no attempt is left",
            Self::EverythingInItsPlace => "P5 every job stands exactly where its record says",
            Self::FinishesStay => "P6 an accepted finish is never lost or overwritten",
            Self::LeasesEndByTakingOrByTheirOwn => {
                "P7 a lease ends by its own finish or give-back, or unrenewed by the reaper"
            }
            Self::GraceBeforeTaking => "P8 nothing is taken before agents had a TTL to renew in",
            Self::CancelledIsNotQueuedAgain => "P9 a cancelled job is never queued again",
            Self::UnfrozenOnce => "P10 at most one run of a job is not frozen",
        }
    }
}

/// Who commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Claim,
    /// A finish or a give-back.
    ByAgent {
        attempt: u32,
    },
    Cancel,
    /// The give-back of a claim whose reply was lost.
    Untold {
        /// Its agent has heard of it since.
        heard: bool,
    },
    Reap {
        renewed: bool,
        served: bool,
    },
}

/// A job before a commit.
pub(crate) struct Before {
    job: Job,
    ended: Vec<Attempt>,
}

impl Before {
    pub(crate) fn of(pool: &Pool, n: usize) -> Self {
        Self {
            job: pool.job(n).job().clone(),
            ended: pool.ended(n).cloned().collect(),
        }
    }
}

/// The promises that a commit has broken.
pub(crate) fn judge(before: &Before, pool: &Pool, n: usize, deed: Deed) -> Vec<Promise> {
    let (old, new) = (&before.job, pool.job(n).job());
    let was_running = matches!(old.state, State::Running(_));
    let lost = was_running && !(matches!(new.state, State::Running(_)) && new.attempt == old.attempt);
    let kept: Vec<&Attempt> = pool.ended(n).collect();
    let own = |deed: Deed| match deed {
        Deed::ByAgent { attempt } => attempt == old.attempt,
        Deed::Reap { renewed, .. } => !renewed,
        Deed::Untold { heard } => !heard,
        Deed::Claim | Deed::Cancel => false,
    };
    let rules = [
        (
            Promise::LiveLeaseOnly,
            match deed {
                Deed::Claim => !was_running,
                Deed::ByAgent { attempt } => was_running && attempt == old.attempt,
                Deed::Reap { .. } | Deed::Untold { .. } => was_running,
                Deed::Cancel => true,
            },
        ),
        (
            Promise::AttemptsRiseByOne,
            new.attempt == old.attempt + u32::from(deed == Deed::Claim),
        ),
        (Promise::TerminalStaysTerminal, !old.state.name().is_terminal()),
        (Promise::LeasesEndByTakingOrByTheirOwn, !lost || own(deed)),
        (
            Promise::GraceBeforeTaking,
            !matches!(deed, Deed::Reap { served: false, .. }),
        ),
        (
            Promise::FinishesStay,
            before.ended.iter().zip(&kept).all(|(was, is)| was == *is)
                && kept.len() == before.ended.len() + usize::from(lost),
        ),
        (
            Promise::CancelledIsNotQueuedAgain,
            !(new.state.name() == StateName::Queued && is_cancelled(old)),
        ),
    ];
    rules
        .into_iter()
        .filter(|(_, holds)| !holds)
        .map(|(promise, _)| promise)
        .collect()
}

fn is_cancelled(job: &Job) -> bool {
    match &job.state {
        State::Running(running) => running.cancel.is_some(),
        State::Cancelled { .. } => true,
        State::Queued { .. } | State::Succeeded { .. } | State::Failed { .. } => false,
    }
}

/// Whether the attempts that a job was charged for are within its bounds, and it did not give up too early.
pub(crate) fn charged_within_bounds(world: &World) -> bool {
    (0..world.pool.n_jobs()).all(|n| {
        let job = world.pool.job(n).job();
        let gave_up = matches!(&job.state, State::Failed { cause, .. } if cause.is_infrastructure());
        job.charged <= job.max_attempts && (!gave_up || job.charged == job.max_attempts)
    })
}

/// Whether the operator's own check finds nothing, and no job stands among the leases of two agents.
pub(crate) fn everything_in_its_place(world: &World) -> bool {
    let leases = |n: usize| {
        let standing = world.pool.standing();
        standing
            .iter()
            .filter(|(set, job, _)| *job == n && set.starts_with("leases/"))
            .count()
    };
    fsck(&world.pool.store().dump()).is_empty() && (0..world.pool.n_jobs()).all(|n| leases(n) <= 1)
}

/// Whether at most one agent runs each job unfrozen.
pub(crate) fn unfrozen_once(world: &World) -> bool {
    let runs = |n: usize| {
        let leases = world.agents.iter().filter_map(|agent| agent.lease.as_ref());
        leases
            .filter(|lease| lease.job == n && !lease.ended && world.now < lease.fence_at)
            .count()
    };
    (0..world.pool.n_jobs()).all(|n| runs(n) <= 1)
}

/// A TTL within which agents could renew lies between the end of the last outage and this tick.
pub(crate) fn is_served(served_since: u64, read_at: u64, bounds: &Bounds) -> bool {
    served_since + bounds.ttl <= read_at
}
