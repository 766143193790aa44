//! What an error of Redis means to a caller: come again later, ask again, or call somebody.
//!
//! An error reply says that the command was not carried out (our scripts write nothing before everything is decided). A
//! missing reply says nothing.

use std::sync::Arc;

use redis::{RedisError, ServerError};

use super::config::ServerAddr;
use super::reply::Unexpected;
use crate::{BackendError, NexusError};

/// What to do about an error reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The script is not known: load it and call again.
    UnknownScript,
    /// Memory is full, and the script was not one of those that may run then.
    OutOfMemory,
    /// Somebody else is (or will be) in charge.
    Misrouted,
    /// Our user may not do this.
    Forbidden,
    /// What is stored is not what the script expects.
    Contradiction,
    /// It passes: loading, busy, no replicas, the disk is full.
    Passing,
}

impl Trouble {
    pub(super) fn of(error: &ServerError) -> Self {
        let is_of_user = || {
            let of_user = ["The user executing the script", "ACL failure in script"];
            error
                .details()
                .is_some_and(|text| of_user.iter().any(|begin| text.contains(begin)))
        };
        let is_of_script = || error.details().is_some_and(|text| text.contains("user_script"));
        match error.code() {
            "NOSCRIPT" => Self::UnknownScript,
            "OOM" => Self::OutOfMemory,
            "READONLY" | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" => Self::Misrouted,
            "NOPERM" | "NOAUTH" => Self::Forbidden,
            "WRONGTYPE" => Self::Contradiction,
            "ERR" if is_of_user() => Self::Forbidden,
            "ERR" if is_of_script() => Self::Contradiction,
            _ => Self::Passing,
        }
    }
}

/// The failure of a call of which nothing was carried out.
pub(super) fn refused(server: &ServerAddr, error: ServerError) -> NexusError {
    let trouble = Trouble::of(&error);
    let source = RedisError::from(error);
    let server = server.to_string();
    match trouble {
        Trouble::Forbidden => NexusError::Unavailable(Arc::new(BackendError::Unfit {
            server,
            why: format!(
                "our user may not do what is needed ({source}): allow it as docs/operations.md says"
            ),
        })),
        Trouble::Contradiction => NexusError::Corrupt(Arc::new(BackendError::Redis { server, source })),
        Trouble::OutOfMemory => NexusError::Unavailable(Arc::new(BackendError::NoRoom)),
        Trouble::UnknownScript | Trouble::Misrouted | Trouble::Passing => {
            NexusError::Unavailable(Arc::new(BackendError::Redis { server, source }))
        }
    }
}

/// The failure of a read whose answer has another shape than agreed.
pub(super) fn unexpected(server: &ServerAddr, _: Unexpected) -> NexusError {
    NexusError::Corrupt(Arc::new(BackendError::Strange {
        server: server.to_string(),
    }))
}
