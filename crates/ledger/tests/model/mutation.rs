//! Guards taken away on purpose, to see that the model notices.
//!
//! A mutation changes what the production functions returned, on its way to the store. Production code has no switch.

use domain::plan::ReapPlan;
use domain::{Job, JobEvent};
use nexus::{Guard, Transaction};

/// One guard that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// A stale event is presented with the number of the live attempt.
    ForgedAttempt,
    /// The reaper does not check that the deadline is the one that it read.
    ReaperIgnoresRenewals,
    /// A claim does not check that the job is still held for it.
    ClaimIgnoresHold,
    /// A reaper that was away takes leases at once.
    NoGrace,
    /// A finish does not check that the job is as it was read.
    FinishIgnoresVersion,
    /// A renewal does not check that no other one has moved the deadline since.
    RenewalIgnoresOthers,
    /// A claim that was not heard of is given back although its agent was told of it since.
    GiveBackIgnoresTelling,
}

impl Mutation {
    pub(crate) fn event(self, event: JobEvent, job: &Job) -> JobEvent {
        match (self, event) {
            (Self::ForgedAttempt, JobEvent::Finished { report, .. }) => JobEvent::Finished {
                attempt: job.attempt,
                report,
            },
            (Self::ForgedAttempt, JobEvent::GivenBack { why, .. }) => JobEvent::GivenBack {
                attempt: job.attempt,
                why,
            },
            (_, event) => event,
        }
    }

    pub(crate) fn plan(self, plan: ReapPlan) -> ReapPlan {
        match self {
            Self::NoGrace => ReapPlan::Reap,
            _ => plan,
        }
    }

    pub(crate) fn reap(self, tx: &mut Transaction) {
        if self == Self::ReaperIgnoresRenewals {
            tx.guards.retain(|guard| !matches!(guard, Guard::Member(..)));
        }
    }

    pub(crate) fn renew(self, tx: &mut Transaction) {
        if self == Self::RenewalIgnoresOthers {
            tx.guards.retain(|guard| !matches!(guard, Guard::Member(..)));
        }
    }

    pub(crate) fn claim(self, tx: &mut Transaction) {
        if self == Self::ClaimIgnoresHold {
            tx.guards.retain(|guard| !matches!(guard, Guard::Member(..)));
        }
    }

    pub(crate) fn untold(self, tx: &mut Transaction) {
        if self == Self::GiveBackIgnoresTelling {
            tx.guards.retain(|guard| !matches!(guard, Guard::Member(..)));
        }
    }

    pub(crate) fn finish(self, tx: &mut Transaction) {
        if self == Self::FinishIgnoresVersion {
            tx.guards.retain(|guard| !matches!(guard, Guard::Record(..)));
        }
    }
}
