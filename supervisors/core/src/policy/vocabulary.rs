//! The words between policy and shell: what happened, what to do next, and what the rules are about.
//!
//! Every action but `Retry`, `Exit` and `Rest` wants its confirmation before anything else is decided.

use std::sync::Arc;
use std::time::Duration;

use crate::Exit;
use crate::spec::{AutoShutdown, Backoff, Intensity, Restart, Strategy};

/// Names a child within one life of its supervisor. Rises with the start order; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChildKey(pub(crate) u64);

/// What the rules need to know of a child.
#[derive(Clone, Debug)]
pub(crate) struct ChildRules {
    pub(crate) id: Arc<str>,
    pub(crate) restart: Restart,
    pub(crate) significant: bool,
    /// How long its restarts wait; none means not at all.
    pub(crate) backoff: Option<Backoff>,
}

/// What the rules need to know of the supervisor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    pub(crate) auto_shutdown: AutoShutdown,
    /// Children are added on demand, forgotten at their end and terminated all at once.
    pub(crate) dynamic: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Start all children.
    Init,
    /// Start a child that was added. If that fails, it is forgotten.
    Spawn(ChildKey),
    /// Start an idle child, on request. If that fails, it stays down.
    Revive(ChildKey),
    /// End one child, or the waiting for it, on request.
    End(ChildKey),
    /// A child ended by itself.
    Exited {
        key: ChildKey,
        incarnation: u64,
        exit: Exit,
    },
    /// The retry asked for by [`Action::Retry`] is due.
    Retry { key: ChildKey, incarnation: u64 },
    /// End all children, then the supervisor.
    Shutdown,
    /// Confirms [`Action::Start`].
    Started,
    /// Confirms [`Action::Start`]: it did not work, and why.
    StartFailed(String),
    /// Confirms [`Action::Terminate`].
    Terminated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start this life of the child; confirm by `Started` or `StartFailed`.
    Start { key: ChildKey, incarnation: u64 },
    /// End these children, all at the same time; confirm by `Terminated`.
    Terminate(Vec<ChildKey>),
    /// Come back with `Retry` after so long, and after everything that waits by then.
    Retry {
        key: ChildKey,
        incarnation: u64,
        after: Duration,
    },
    /// End the supervisor. No child is alive.
    Exit(Exit),
    /// Nothing to do until the next event.
    Rest,
}

/// A child as the rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Not started, or ended for good; the spec is kept.
    Down,
    Up,
    /// Its restart failed and is tried again, which counts again.
    Restarting,
    /// Its restart is counted and waits for the child's backoff.
    Delayed,
}
