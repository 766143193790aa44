//! The actor: what a user of this crate writes.
//!
//! The one idea: `self` is immutable wiring, made anew for every incarnation; everything that changes is `State`,
//! owned by the actor alone and dropped before its successor starts. An `Err` or a panic is a crash, and what
//! happens then is decided by the supervisor, never by the actor. Outages of other systems are not crashes.

use std::error::Error;
use std::fmt;
use std::future::Future;

use crate::Ctx;

/// A supervised actor. It handles one message at a time.
pub trait Actor: Sized + Send + Sync + 'static {
    /// All that can wake this actor: normally a closed enum.
    type Msg: Send + 'static;
    /// What changes. It dies with the actor, whichever way the actor dies.
    type State: Send + 'static;

    /// Makes the state. The supervisor waits for it, and starts the next sibling after it; an error or a
    /// panic is a failed start. Cancelled at an await point when the start time-out passes. It runs in the
    /// supervisor's task, so code that blocks the thread here blocks the supervisor.
    fn start(&self, ctx: &Ctx<Self::Msg>) -> impl Future<Output = Result<Self::State, Failure>> + Send;

    /// Handles one message. A kill cancels it at an await point; a stop waits for it.
    fn handle(
        &self,
        ctx: &Ctx<Self::Msg>,
        msg: Self::Msg,
        state: &mut Self::State,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Cleans up at an orderly stop, within the shutdown time of the child's spec. Who stops itself has no limit, as in
    /// OTP.
    /// Not called after a crash or a kill. Messages still queued are dropped after it.
    fn stop(&self, _ctx: &Ctx<Self::Msg>, _state: &mut Self::State) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Why an actor gives up: returning it is a crash. Made from any error by `?`, sources included.
pub struct Failure(String);

impl Failure {
    /// Makes a failure from a text, where no error is at hand.
    pub fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
