//! Failures of a nexus, by what a caller does about them: correct itself, come again later, or ask again with the same
//! transaction because nobody knows whether it was applied.
//!
//! A refused guard and a lack of room are no failures but outcomes: see [`Outcome`](crate::Outcome).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;

/// A call to a nexus failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NexusError {
    /// The call breaks a rule or a limit. Nothing was written, and repeating it is useless.
    #[error("use the nexus as agreed")]
    Invalid(#[from] Invalid),
    /// The store does not answer now. Nothing was written; the same call may succeed later.
    #[error("reach the nexus")]
    Unavailable(#[source] Arc<BackendError>),
    /// The write may or may not have happened. Sending the same transactions again tells.
    #[error("learn whether the nexus wrote")]
    OutcomeUnknown(#[source] Arc<BackendError>),
    /// An earlier write failed in a way that leaves its outcome open, so nothing is written until the store is opened anew.
    /// Nothing of this call was written.
    #[error("write to the nexus: it has stopped after a failed write and must be opened again")]
    Halted,
    /// The nexus was closed. Nothing was written.
    #[error("use the nexus: it is closed")]
    Closed,
    /// What is stored contradicts itself. Nothing was written; only a backup helps.
    #[error("make sense of what is stored")]
    Corrupt(#[source] Arc<BackendError>),
}

impl NexusError {
    /// For a write that was given up after so long.
    pub fn no_answer(limit: Duration) -> Self {
        Self::OutcomeUnknown(Arc::new(BackendError::NoAnswer { limit }))
    }

    /// Why the store must not be used as it is set up, if that is the trouble: waiting does not help, somebody must act.
    pub fn unfit(&self) -> Option<&BackendError> {
        match self {
            Self::Unavailable(why) if matches!(**why, BackendError::Unfit { .. }) => Some(why),
            Self::Invalid(_)
            | Self::Unavailable(_)
            | Self::OutcomeUnknown(_)
            | Self::Halted
            | Self::Closed
            | Self::Corrupt(_) => None,
        }
    }
}

/// What lies beneath an unreachable store.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A test took the memory backend away.
    #[error("find the store: it was switched off")]
    SwitchedOff,
    /// The thread that writes has gone.
    #[error("find the writer of the store: its thread has ended")]
    WriterGone,
    /// It took longer than it may.
    #[error("get an answer within {limit:?}")]
    NoAnswer {
        /// How long it may take.
        limit: Duration,
    },
    /// Not even the reserve has room for a take. (Transactions are answered with [`Outcome::Full`](crate::Outcome::Full).)
    #[error("find room on the disk")]
    NoRoom,
    /// SQLite reported this.
    #[error("run SQLite")]
    Sqlite(#[from] rusqlite::Error),
    /// Redis could not be reached, or said this.
    #[error("talk to Redis at {server}")]
    Redis {
        /// Who was asked.
        server: String,
        /// What came of it.
        #[source]
        source: redis::RedisError,
    },
    /// Redis answers, but must not be used as it is. Only a change of its settings helps.
    #[error("use Redis at {server}: {why}")]
    Unfit {
        /// Who was asked.
        server: String,
        /// What is wrong, with the way out.
        why: String,
    },
    /// Redis answers in another way than agreed: what is stored there was not written by us.
    #[error("understand the answer of Redis at {server}")]
    Strange {
        /// Who was asked.
        server: String,
    },
    /// Nobody says who the primary is.
    #[error("find the primary of {what}: {why}")]
    NoPrimary {
        /// The service or the slot.
        what: String,
        /// What was tried.
        why: String,
    },
}

/// For a failure after which nothing was written.
impl From<BackendError> for NexusError {
    fn from(error: BackendError) -> Self {
        let code = match &error {
            BackendError::Sqlite(error) => error.sqlite_error_code(),
            BackendError::SwitchedOff
            | BackendError::WriterGone
            | BackendError::NoAnswer { .. }
            | BackendError::NoRoom
            | BackendError::Redis { .. }
            | BackendError::Unfit { .. }
            | BackendError::Strange { .. }
            | BackendError::NoPrimary { .. } => None,
        };
        match code {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(Arc::new(error)),
            _ => Self::Unavailable(Arc::new(error)),
        }
    }
}

/// A store cannot be used: its file, or what was said about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A process (perhaps this one) has it open. One process at a time owns a store.
    #[error("open {path:?}: it is in use by another process", path = .path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// A newer program wrote it in a format that this one does not know.
    #[error("open {path:?}: its format {found} is newer than {supported}, the newest that this program knows", path = .path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// The major version of its format.
        found: u32,
        /// The newest major version known here.
        supported: u32,
    },
    /// It is a database, but not one of ours.
    #[error("open {path:?}: it is a database of another program", path = .path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// Something around the database could not be created or locked.
    #[error("prepare {path:?}", path = .path.display())]
    Prepare {
        /// The file concerned.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The system gave no thread for the writer.
    #[error("start the thread that writes")]
    Thread {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// SQLite refused.
    #[error("open the database")]
    Sqlite(#[from] rusqlite::Error),
    /// A setting for Redis cannot work.
    #[error("use {value:?} as {field} for Redis: {way_out}")]
    Setting {
        /// Which.
        field: &'static str,
        /// What it is.
        value: String,
        /// What to do.
        way_out: &'static str,
    },
    /// The certificates or the key for Redis cannot be used.
    #[error("use the {what} for Redis: {why}")]
    Tls {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// The rule or limit that a call broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Too many or too much of something.
    #[error("keep to {max} {what}: {actual} given")]
    Limit {
        /// What was counted, with its unit.
        what: &'static str,
        /// How much there is.
        actual: usize,
        /// How much is allowed.
        max: usize,
    },
    /// A name is empty.
    #[error("use an empty {what}")]
    Empty {
        /// What kind of name.
        what: &'static str,
    },
    /// A name contains a NUL character.
    #[error("use a NUL character in a {what}")]
    Nul {
        /// What kind of name.
        what: &'static str,
    },
    /// A family is the part of a name before its first `/`.
    #[error("use {family:?} as a family: it contains a '/'")]
    Nested {
        /// What was offered.
        family: String,
    },
    /// Two steps of one transaction (or two sets of one demand) concern the same thing.
    #[error("change {what} {name:?} twice in one step")]
    Twice {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
}
