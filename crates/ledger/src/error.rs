//! What can go wrong on the way to a changed state, told apart by what the caller may do.

use std::time::Duration;

use domain::{JobId, Refused};
use nexus::{BackendError, NexusError};

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
    /// A job has a record and no spec.
    #[error("job `{0}` has no spec")]
    NoSpec(String),
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

impl LedgerError {
    /// For work that was given up after so long; whatever of it was committed stays committed.
    pub fn no_answer(limit: Duration) -> Self {
        Self::Nexus(NexusError::no_answer(limit))
    }

    /// Says whether what was asked for may have been done all the same.
    pub const fn outcome_is_unknown(&self) -> bool {
        matches!(self, Self::Nexus(NexusError::OutcomeUnknown(_)))
    }

    /// Says whether only opening the nexus anew can help: it has stopped after a failed write, or its writer has gone.
    pub fn needs_a_new_start(&self) -> bool {
        match self {
            Self::Nexus(NexusError::Halted) => true,
            Self::Nexus(NexusError::Unavailable(why)) => matches!(**why, BackendError::WriterGone),
            Self::Nexus(_)
            | Self::Undecodable(_)
            | Self::UnreadableSpec(_)
            | Self::NoSpec(_)
            | Self::Full
            | Self::Contended { .. } => false,
        }
    }
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
