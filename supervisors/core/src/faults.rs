//! Faults on purpose: what is to go wrong, where and when, as data.
//!
//! The one idea: every actor is started through one function, and with this feature that function wraps it into a
//! [`Chaos`], which asks the tree's [`Faults`] before it lets the actor do anything. The actors know nothing of it.
//! A transport in a test can ask too ([`on_call`]): a task-local tells which actor is calling.
//!
//! For tests and drills; a build without debug assertions refuses the feature.

mod chaos;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

pub(crate) use self::chaos::Chaos;
use crate::TreePath;

/// The most faults that may wait to happen in one tree.
pub const FAULTS_MAX: usize = 1024;

/// One thing that is to go wrong, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The place of the actor, `coordinator/dispatch`. It need not be up.
    pub path: String,
    /// At which of its moments.
    pub when: When,
    /// What happens then.
    pub what: What,
}

/// A moment in an actor's life. Faults for the same moments of one place happen in the order of their injection,
/// each counting from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At its next start, before it does anything.
    Start,
    /// Instead of handling the n-th message from now on, from 1; its ticks and those of its successors count.
    Message(u32),
    /// At its next orderly stop, before it cleans up.
    Stop,
    /// At the n-th call from now on, from 1, that it makes through a transport that asks [`on_call`].
    Call(u32),
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It panics.
    Panic,
    /// It returns an error; the call fails before it was made.
    Error,
    /// It waits for ever, at an await point.
    Hang,
    /// It blocks its thread for so long, and then goes on.
    Block(Duration),
    /// It waits for so long, and then goes on.
    Delay(Duration),
    /// The call is made, and its reply is lost. For calls only.
    LoseReply,
    /// The call is made twice. For calls only.
    Duplicate,
}

/// Why a fault was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidFault {
    /// What it says cannot happen at that moment.
    #[error("{what:?} cannot happen at {when:?}")]
    Impossible { when: When, what: What },
    /// Messages and calls are counted from 1.
    #[error("messages and calls are counted from 1")]
    NeverCounted,
    /// As many faults are waiting as there is room for.
    #[error("{FAULTS_MAX} faults are waiting already")]
    Full,
}

/// The faults of one tree. Cheap to clone.
#[derive(Clone, Default)]
pub struct Faults {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// A lock and not an actor: the actors themselves ask, and it is held for a look at a short list.
    plan: Mutex<Plan>,
    longest_handling: LongestHandling,
}

#[derive(Default)]
struct Plan {
    waiting: VecDeque<Fault>,
    fired: Vec<Fault>,
}

impl Faults {
    /// Lets a fault happen.
    ///
    /// # Errors
    /// It could never happen, or too many are waiting.
    pub fn inject(&self, fault: Fault) -> Result<(), InvalidFault> {
        fault.check()?;
        let mut plan = self.plan();
        if plan.waiting.len() == FAULTS_MAX {
            return Err(InvalidFault::Full);
        }
        plan.waiting.push_back(fault);
        Ok(())
    }

    /// Returns the faults that have not happened yet.
    pub fn waiting(&self) -> Vec<Fault> {
        self.plan().waiting.iter().cloned().collect()
    }

    /// Returns the faults that have happened, in their order, the last [`FAULTS_MAX`].
    pub fn fired(&self) -> Vec<Fault> {
        self.plan().fired.clone()
    }

    /// Forgets all faults, those that have happened included.
    pub fn clear(&self) {
        *self.plan() = Plan::default();
    }

    /// Lets no actor take longer than this for one message from now on, whatever its spec allows.
    pub fn limit_handlers(&self, limit: Duration) {
        self.inner.longest_handling.set(limit);
    }

    pub(crate) fn longest_handling(&self) -> LongestHandling {
        self.inner.longest_handling.clone()
    }

    /// Returns what goes wrong at this moment of this place, and counts the moment.
    fn at(&self, path: &TreePath, moment: Moment) -> Option<What> {
        let mut plan = self.plan();
        let first = plan
            .waiting
            .iter()
            .position(|fault| fault.path == path.as_str() && Moment::of(fault.when) == moment)?;
        let fault = &mut plan.waiting[first];
        if let When::Message(n) | When::Call(n) = &mut fault.when
            && *n > 1
        {
            *n -= 1;
            return None;
        }
        let fault = plan.waiting.remove(first)?;
        let what = fault.what;
        if plan.fired.len() == FAULTS_MAX {
            plan.fired.remove(0);
        }
        plan.fired.push(fault);
        Some(what)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.inner.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment without its count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Start,
    Message,
    Stop,
    Call,
}

impl Moment {
    fn of(when: When) -> Self {
        match when {
            When::Start => Self::Start,
            When::Message(_) => Self::Message,
            When::Stop => Self::Stop,
            When::Call(_) => Self::Call,
        }
    }
}

impl Fault {
    fn check(&self) -> Result<(), InvalidFault> {
        if matches!(self.when, When::Message(0) | When::Call(0)) {
            return Err(InvalidFault::NeverCounted);
        }
        let possible = match self.what {
            What::Delay(_) | What::Hang => true,
            What::Panic | What::Block(_) => !matches!(self.when, When::Call(_)),
            What::Error => self.when != When::Stop,
            What::LoseReply | What::Duplicate => matches!(self.when, When::Call(_)),
        };
        let (when, what) = (self.when, self.what);
        if possible {
            Ok(())
        } else {
            Err(InvalidFault::Impossible { when, what })
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, when, what } = self;
        write!(f, "{what:?} at {when:?} of {path}")
    }
}

/// The longest that handling a message may take, in nanoseconds; 0 for no limit. Read by every life of a tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct LongestHandling(Arc<AtomicU64>);

impl LongestHandling {
    fn set(&self, limit: Duration) {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::MAX,
            nanos => Duration::from_nanos(nanos),
        }
    }
}

tokio::task_local! {
    static CALLER: Caller;
}

/// Who is at work in the present task.
#[derive(Clone)]
struct Caller {
    faults: Faults,
    path: TreePath,
}

/// Returns what goes wrong with a call that is made now, and counts the call. For transports: they ask at every call, and
/// do what is said. Nothing goes wrong with calls that no actor makes.
pub fn on_call() -> Option<What> {
    CALLER
        .try_with(|caller| caller.faults.at(&caller.path, Moment::Call))
        .ok()
        .flatten()
}

/// Returns the place of the actor that is at work in the present task, or in one that it has started.
pub fn caller() -> Option<TreePath> {
    CALLER.try_with(|caller| caller.path.clone()).ok()
}

/// Lets a task of an actor count as that actor.
pub(crate) fn as_same_caller<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = CALLER.try_with(Caller::clone).ok();
    async move {
        match caller {
            Some(caller) => CALLER.scope(caller, work).await,
            None => work.await,
        }
    }
}
