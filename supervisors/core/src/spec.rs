//! Trees as data: what is started, in which order, and what happens when it ends.
//!
//! The one idea: a tree is drawn, checked, started and tested from the same value, and nothing about restarts is
//! written anywhere else. The words and their defaults are those of OTP's `supervisor`; `policy` gives them
//! their meaning, `check` says which of them make none.

mod check;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

pub use self::check::SpecError;
use crate::child::{ChildCtx, NotStarted};
use crate::directory::Kind;
use crate::dynamic::{Dynamic, DynamicShape};
use crate::life::Limits;
use crate::{Actor, Handle};

/// How long a worker may take to stop, unless its spec says otherwise.
pub const WORKER_SHUTDOWN: Duration = Duration::from_secs(5);
/// How long a worker may take to start, unless its spec says otherwise.
pub const WORKER_START: Duration = Duration::from_secs(30);
/// How long a worker may take to handle one message, unless its spec says otherwise.
pub const WORKER_HANDLE: Duration = Duration::from_secs(30);

/// Which siblings share the fate of a child that is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// None: only the child itself is restarted.
    OneForOne,
    /// All: they are terminated in reverse start order, then all are started.
    OneForAll,
    /// Those started after it, in the same way.
    RestForOne,
}

/// After which exits a child is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// After any exit.
    Permanent,
    /// After an abnormal exit. A supervisor that gave up has ended in order and does not come back, as in OTP: make
    /// supervisors permanent, or temporary if somebody else looks after their duty.
    Transient,
    /// Never, not even when a sibling's death ended it. Its spec goes with it.
    Temporary,
}

/// How a child is terminated. Whatever is left after a kill and [`KILL_GRACE`](crate::KILL_GRACE) is abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Killed at once; it cannot clean up.
    BrutalKill,
    /// Asked to stop, and killed when the time is over.
    Timeout(Duration),
    /// Asked to stop, and waited for. For supervisors, which bound their own children.
    Infinity,
}

/// How long the restarts of one child wait, so that a fault which needs time to pass is given it. The restart is
/// counted, and siblings that share the child's fate are terminated, when it fails; the starts follow after the delay.
/// There is no jitter: it is one child of one process, and there is no herd to spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay. It doubles with every failure in a row.
    pub base: Duration,
    /// The longest delay.
    pub max: Duration,
    /// A life that lasted this long ends the row: the next delay is `base` again.
    pub reset_after: Duration,
}

/// How many restarts within how long a supervisor performs; one more, and it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts allowed in any window; 0 means that the first failure is fatal.
    pub max: u32,
    /// The length of the window.
    pub within: Duration,
}

/// Whether a supervisor ends when its significant children have ended by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoShutdown {
    /// It does not.
    #[default]
    Never,
    /// It does when one of them has ended.
    AnySignificant,
    /// It does when the last of them has ended.
    AllSignificant,
}

/// A supervisor and its children, in start order. They are terminated in reverse.
#[derive(Clone, Debug)]
pub struct TreeSpec {
    /// Which siblings share the fate of a failed child.
    pub strategy: Strategy,
    /// When too many failures are too many.
    pub intensity: Intensity,
    /// Whether it ends with its significant children.
    pub auto_shutdown: AutoShutdown,
    /// In start order, ids unique.
    pub children: Vec<ChildSpec>,
}

impl TreeSpec {
    /// Makes a supervisor without children that never shuts itself down.
    pub fn new(strategy: Strategy, intensity: Intensity) -> Self {
        Self {
            strategy,
            intensity,
            auto_shutdown: AutoShutdown::Never,
            children: Vec::new(),
        }
    }

    /// Adds a child, started after those added before.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Replaces the rule for significant children.
    pub fn auto_shutdown(self, auto_shutdown: AutoShutdown) -> Self {
        Self {
            auto_shutdown,
            ..self
        }
    }
}

/// One child of a supervisor: how it is started, stopped and restarted.
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    pub(crate) body: Body,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) significant: bool,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) limits: Limits,
}

#[derive(Clone)]
pub(crate) enum Body {
    Worker(StartWorker),
    Supervisor(Arc<TreeSpec>),
    Dynamic(Arc<DynamicShape>),
}

pub(crate) type StartWorker =
    Arc<dyn Fn(ChildCtx) -> BoxFuture<'static, Result<(), NotStarted>> + Send + Sync>;

impl ChildSpec {
    /// Describes an actor. `make` is called for every incarnation; `handle` is pointed at each of them.
    pub fn worker<A: Actor>(
        id: impl Into<String>,
        handle: &Handle<A::Msg>,
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        let (handle, make) = (handle.clone(), Arc::new(make));
        let start: StartWorker = Arc::new(move |ctx| {
            let (handle, make) = (handle.clone(), Arc::clone(&make));
            Box::pin(async move { ctx.spawn(make(), handle).await })
        });
        let limits = Limits {
            start: Some(WORKER_START),
            handle: Some(WORKER_HANDLE),
        };
        Self::new(
            id.into(),
            Body::Worker(start),
            Shutdown::Timeout(WORKER_SHUTDOWN),
            limits,
        )
    }

    /// Describes a supervisor with a fixed list of children.
    pub fn supervisor(id: impl Into<String>, tree: TreeSpec) -> Self {
        Self::new_supervisor(id.into(), Body::Supervisor(Arc::new(tree)))
    }

    /// Describes a supervisor whose children are started on demand.
    pub fn dynamic<Args: Send + 'static>(id: impl Into<String>, spec: DynamicSpec<Args>) -> Self {
        Self::new_supervisor(id.into(), Body::Dynamic(Arc::new(spec.into_shape())))
    }

    fn new_supervisor(id: String, body: Body) -> Self {
        let limits = Limits {
            start: None,
            handle: None,
        };
        Self::new(id, body, Shutdown::Infinity, limits)
    }

    fn new(id: String, body: Body, shutdown: Shutdown, limits: Limits) -> Self {
        Self {
            id: id.into(),
            body,
            restart: Restart::Permanent,
            shutdown,
            significant: false,
            backoff: None,
            limits,
        }
    }

    /// Replaces the restart rule. The default is permanent.
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// Replaces how it is terminated. The default is [`WORKER_SHUTDOWN`], and infinity for supervisors.
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown, ..self }
    }

    /// Lets the end of this child end its supervisor, as its [`AutoShutdown`] says.
    pub fn significant(self) -> Self {
        Self {
            significant: true,
            ..self
        }
    }

    /// Lets its restarts wait. The default is not to, as in OTP.
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self {
            backoff: Some(backoff),
            ..self
        }
    }

    /// Limits how long a start may take. The default is [`WORKER_START`]; a supervisor has no limit of its own.
    pub fn start_timeout(self, limit: Duration) -> Self {
        let start = Some(limit);
        Self {
            limits: Limits { start, ..self.limits },
            ..self
        }
    }

    /// Limits how long handling one message may take; longer is a crash. The default is [`WORKER_HANDLE`]. Code that
    /// blocks the thread cannot be ended: it shows as [`ActorState::Stuck`](crate::ActorState::Stuck). For workers only.
    pub fn handle_deadline(self, limit: Duration) -> Self {
        let handle = Some(limit);
        Self {
            limits: Limits {
                handle,
                ..self.limits
            },
            ..self
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.body {
            Body::Worker(_) => Kind::Worker,
            Body::Supervisor(_) => Kind::Supervisor,
            Body::Dynamic(_) => Kind::Dynamic,
        }
    }
}

/// A supervisor whose children are started on demand, all from one template. They are restarted one by one and
/// terminated all at the same time.
pub struct DynamicSpec<Args> {
    /// The way to start children. Belongs to exactly one spec.
    pub handle: Dynamic<Args>,
    /// More are refused with `Full`.
    pub max_children: usize,
    /// When too many failures are too many, over all children together.
    pub intensity: Intensity,
    /// Makes the spec of one child: a worker or a whole tree.
    pub template: Arc<dyn Fn(Args) -> ChildSpec + Send + Sync>,
    /// Makes a child for the drawing only; it is never started.
    pub example: Option<Arc<dyn Fn() -> ChildSpec + Send + Sync>>,
}

impl<Args: Send + 'static> DynamicSpec<Args> {
    /// Makes a spec without an example.
    pub fn new(
        handle: &Dynamic<Args>,
        max_children: usize,
        intensity: Intensity,
        template: impl Fn(Args) -> ChildSpec + Send + Sync + 'static,
    ) -> Self {
        Self {
            handle: handle.clone(),
            max_children,
            intensity,
            template: Arc::new(template),
            example: None,
        }
    }

    /// Draws the template by an example, which is made when the tree is drawn and never started.
    pub fn drawn_as(self, example: impl Fn() -> ChildSpec + Send + Sync + 'static) -> Self {
        Self {
            example: Some(Arc::new(example)),
            ..self
        }
    }

    fn into_shape(self) -> DynamicShape {
        self.handle.use_template(self.template);
        DynamicShape {
            commands: self.handle.commands().clone(),
            n_children: self.handle.counter(),
            max_children: self.max_children,
            intensity: self.intensity,
            example: self.example,
        }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::draw::draw_child(self))
    }
}
