//! Children on demand: the way to a dynamic supervisor (OTP's `simple_one_for_one`).
//!
//! The one idea: what a child is lies in the tree's spec, as a template; who wants one brings only the arguments. The
//! handle is made before the tree and survives restarts of the supervisor, which come up without children: what is to
//! run is known elsewhere, and whoever knows it reconciles.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use thiserror::Error;

use crate::TreePath;
use crate::children::ChildInfo;
use crate::handle::{AskError, Handle, Refused};
use crate::policy::ChildKey;
use crate::spec::{AutoShutdown, ChildSpec, Intensity, SpecError};
use crate::supervisor::{COMMANDS_MAX, Command};

type Template<Args> = dyn Fn(Args) -> ChildSpec + Send + Sync;

/// The way to a dynamic supervisor. Cheap to clone; belongs to exactly one spec.
pub struct Dynamic<Args> {
    inner: Arc<Inner<Args>>,
}

struct Inner<Args> {
    commands: Handle<Command>,
    n_children: Arc<Counter>,
    template: ArcSwapOption<Box<Template<Args>>>,
}

/// Names one child that was started on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildRef {
    path: TreePath,
    /// The life of the supervisor that the key belongs to.
    pub(crate) supervisor: u64,
    pub(crate) key: ChildKey,
}

impl ChildRef {
    pub(crate) fn new(path: TreePath, supervisor: u64, key: ChildKey) -> Self {
        Self {
            path,
            supervisor,
            key,
        }
    }

    /// Returns the child's place in the tree.
    pub fn path(&self) -> &TreePath {
        &self.path
    }
}

/// Why a child was not started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartChildError {
    /// As many children are running, or as many requests are waiting, as there is room for.
    #[error("dynamic supervisor is full")]
    Full,
    /// The supervisor is down, or ended before it answered.
    #[error("dynamic supervisor is down")]
    Down,
    /// A child with this id is there already.
    #[error("child {id:?} is there already")]
    Exists { id: String },
    /// The template made a spec that cannot be started.
    #[error(transparent)]
    InvalidSpec(#[from] SpecError),
    /// The child's start failed; nothing of it is left. It is not tried again.
    #[error("child did not start: {why}")]
    Failed { why: String },
}

impl<Args: Send + 'static> Dynamic<Args> {
    /// Makes a handle that nobody answers yet.
    pub fn new(name: impl Into<String>) -> Self {
        let commands = Handle::new(name, COMMANDS_MAX);
        let n_children = Arc::new(Counter::default());
        Self {
            inner: Arc::new(Inner {
                commands,
                n_children,
                template: ArcSwapOption::empty(),
            }),
        }
    }

    /// Starts a child and waits until it is up, or the start has failed. Starts are done one after the other, so a
    /// child's start should be short. If the caller stops waiting, the child is started all the same.
    pub async fn start_child(&self, args: Args) -> Result<ChildRef, StartChildError> {
        let template = self.inner.template.load_full().ok_or(StartChildError::Down)?;
        let spec = template(args);
        spec.check(AutoShutdown::Never)?;
        let answer = self
            .inner
            .commands
            .ask_until_down(|reply| Command::StartDynamic(spec, reply))
            .await;
        answer.unwrap_or_else(|error| match error {
            AskError::Busy => Err(StartChildError::Full),
            AskError::Down | AskError::TimedOut => Err(StartChildError::Down),
        })
    }

    /// Terminates a child as its spec says, and waits for it. Returns false if it was not there any more.
    pub async fn terminate_child(&self, child: &ChildRef) -> Result<bool, Refused> {
        let child = child.clone();
        let answer = self
            .inner
            .commands
            .ask_until_down(|reply| Command::EndDynamic(child, reply))
            .await;
        answer.map_err(refused)
    }

    /// Returns the children in start order, as the supervisor sees them.
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, Refused> {
        self.inner
            .commands
            .ask_until_down(Command::WhichChildren)
            .await
            .map_err(refused)
    }

    /// Returns how many children there are, those being restarted included. Does not ask anybody.
    pub fn count(&self) -> usize {
        self.inner.n_children.load()
    }

    pub(crate) fn commands(&self) -> &Handle<Command> {
        &self.inner.commands
    }

    pub(crate) fn counter(&self) -> Arc<Counter> {
        Arc::clone(&self.inner.n_children)
    }

    pub(crate) fn use_template(&self, template: Arc<Template<Args>>) {
        self.inner
            .template
            .store(Some(Arc::new(Box::new(move |args| template(args)))));
    }
}

impl<Args> Clone for Dynamic<Args> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<Args> fmt::Debug for Dynamic<Args> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dynamic({:?})", self.inner.commands)
    }
}

pub(crate) fn refused(error: AskError) -> Refused {
    match error {
        AskError::Busy => Refused::Busy,
        AskError::Down | AskError::TimedOut => Refused::Down,
    }
}

/// A dynamic supervisor without its argument type.
pub(crate) struct DynamicShape {
    pub(crate) commands: Handle<Command>,
    pub(crate) n_children: Arc<Counter>,
    pub(crate) max_children: usize,
    pub(crate) intensity: Intensity,
    pub(crate) example: Option<Arc<dyn Fn() -> ChildSpec + Send + Sync>>,
}

/// A number written by the supervisor and read by anybody.
#[derive(Default)]
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    pub(crate) fn store(&self, n: usize) {
        self.0.store(n, Ordering::Relaxed);
    }

    fn load(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
