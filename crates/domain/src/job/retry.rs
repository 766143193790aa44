//! When a job is tried again: the one place where that is decided.
//!
//! A program's own failure is never retried. A failure of the machinery is, while fewer attempts than `max_attempts`
//! were charged. A lease returned unstarted is not charged, but a job that keeps coming back is given up: something
//! is wrong with it or with every agent, and a person should look.

use crate::cause::Cause;
use crate::job::Job;

/// How often a job may come back unstarted before it is given up.
pub const GIVEN_BACK_MAX: u32 = 16;

/// What becomes of a job whose attempt did not end it by itself.
pub(super) enum Verdict {
    /// Back to its lane.
    Again,
    /// Ended with this cause.
    Over(Cause),
}

/// Decides after an attempt failed. `job.charged` already counts that attempt.
pub(super) fn after_failure(job: &Job, cause: Cause) -> Verdict {
    if cause.is_infrastructure() && job.charged < job.max_attempts {
        Verdict::Again
    } else {
        Verdict::Over(cause)
    }
}

/// Decides after a lease came back unstarted. `job.given_back` already counts it.
pub(super) fn after_give_back(job: &Job) -> Verdict {
    if job.given_back > GIVEN_BACK_MAX {
        Verdict::Over(Cause::Unplaceable)
    } else {
        Verdict::Again
    }
}
