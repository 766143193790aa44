//! What can go wrong on the way to a changed state, told apart by what the caller may do.

use domain::{JobId, Refused};
use nexus::NexusError;

use crate::record::Undecodable;

/// The ledger could not do its work; the state is as it was, or the outcome is unknown and the request can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The nexus did not answer, or refused as a whole.
    #[error("the nexus failed")]
    Nexus(#[from] NexusError),
    /// Something stored cannot be understood.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// A stored spec cannot be understood.
    #[error(transparent)]
    UnreadableSpec(#[from] domain::spec::UnreadableSpec),
    /// The nexus has no room for new work.
    #[error("the nexus is full")]
    Full,
    /// Somebody else was faster again and again.
    #[error("job {job} changes too fast; try again")]
    Contended {
        /// The job.
        job: JobId,
    },
}

/// An event was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// There is no such job.
    #[error("there is no job {0}")]
    Unknown(JobId),
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The ledger could not do its work.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<NexusError> for ApplyError {
    fn from(error: NexusError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<Undecodable> for ApplyError {
    fn from(error: Undecodable) -> Self {
        Self::Ledger(error.into())
    }
}
