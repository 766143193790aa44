//! One life of one child: the place where every actor is started, and the adapter from our trait to `ractor`'s.
//!
//! The one idea: everything that an actor owns is dropped in the actor's own task, before its end is known: the state
//! lies in the [`Host`] and not in `ractor`'s state, which would travel to the supervisor's queue when the actor is
//! killed and die there, some time after its successor has started.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, poll};
use ractor::{ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use thiserror::Error;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use crate::ctx::panic_text;
use crate::exit::brief;
#[cfg(feature = "faults")]
use crate::faults::Chaos;
use crate::life::{Life, Presence};
use crate::mailbox::{ActorStats, Envelope, Load, Mailbox};
use crate::spec::{Body, ChildSpec};
use crate::supervisor::{Shape, Supervisor};
use crate::{Actor, Ctx, Exit, Failure, Handle};

/// Why a child did not start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct NotStarted(pub(crate) String);

/// What a start is told that was given up meanwhile; nobody listens any more.
pub(crate) const TOO_LATE: &str = "started too late: somebody else may have its place";

/// What a new life is given.
pub(crate) struct ChildCtx {
    pub(crate) parent: ActorCell,
    pub(crate) life: Life,
}

impl ChildCtx {
    /// Starts an actor of ours. Every worker of every tree comes through here.
    pub(crate) async fn spawn<A: Actor>(self, actor: A, handle: Handle<A::Msg>) -> Result<(), NotStarted> {
        let Self { parent, life } = self;
        let (name, life) = (life.record.birth.name.clone(), Arc::new(life));
        #[cfg(feature = "faults")]
        let actor = Chaos::new(actor, &life);
        launch(
            &parent,
            name,
            Host {
                actor,
                inner: Mutex::new(None),
                port: Port::new(handle),
                life,
            },
        )
        .await
    }

    async fn spawn_supervisor(self, shape: Shape) -> Result<(), NotStarted> {
        let Self { parent, life } = self;
        let name = life.record.birth.name.clone();
        launch(&parent, name, Supervisor::new(shape, life)).await
    }
}

impl ChildSpec {
    /// Starts one life and waits until it is up. A panic on the way is a failed start.
    /// Boxed by name: a supervisor's start contains the start of its children.
    pub(crate) fn start(&self, ctx: ChildCtx) -> BoxFuture<'static, Result<(), NotStarted>> {
        let starting = match &self.body {
            Body::Worker(start) => start(ctx),
            Body::Supervisor(tree) => ctx.spawn_supervisor(Shape::Fixed(Arc::clone(tree))).boxed(),
            Body::Dynamic(shape) => ctx.spawn_supervisor(Shape::Dynamic(Arc::clone(shape))).boxed(),
        };
        let panicked = |panic: Box<dyn Any + Send>| Err(NotStarted(brief(panic_text(&*panic))));
        AssertUnwindSafe(starting)
            .catch_unwind()
            .map(move |started| started.unwrap_or_else(panicked))
            .boxed()
    }
}

async fn launch<R: ractor::Actor<Arguments = ()>>(
    parent: &ActorCell,
    name: String,
    actor: R,
) -> Result<(), NotStarted> {
    match parent.spawn_linked(Some(name), actor, ()).await {
        Ok((_actor, _task)) => Ok(()),
        Err(SpawnErr::StartupFailed(why)) => Err(NotStarted(brief(why.to_string()))),
        Err(other) => Err(NotStarted(other.to_string())),
    }
}

/// The end of a handle that lies in one incarnation: bound when it is up, unbound with it.
pub(crate) struct Port<M: Send + 'static> {
    pub(crate) handle: Handle<M>,
    pub(crate) stats: Arc<ActorStats>,
    bound: OnceLock<Arc<Mailbox<M>>>,
}

impl<M: Send + 'static> Port<M> {
    pub(crate) fn new(handle: Handle<M>) -> Self {
        let stats = Arc::new(ActorStats::new(handle.capacity()));
        Self {
            handle,
            stats,
            bound: OnceLock::new(),
        }
    }

    pub(crate) fn open(&self, actor: ActorRef<Envelope<M>>) {
        self.bound
            .get_or_init(|| self.handle.bind(Mailbox::new(actor, Arc::clone(&self.stats))));
    }
}

impl<M: Send + 'static> Drop for Port<M> {
    fn drop(&mut self) {
        if let Some(mailbox) = self.bound.get() {
            self.handle.unbind(mailbox);
        }
    }
}

/// An actor of ours as `ractor` sees it. The fields are dropped in this order.
struct Host<A: Actor> {
    port: Port<A::Msg>,
    actor: A,
    /// Interior mutability, not sharing: only the actor's own task comes here, and takes the content while it works.
    inner: Mutex<Option<Box<Inner<A>>>>,
    /// Shared with the actor's tasks: the actor has not ended before they have.
    life: Arc<Life>,
}

struct Inner<A: Actor> {
    first_message: bool,
    state: A::State,
    ctx: Ctx<A::Msg>,
}

impl<A: Actor> Host<A> {
    fn take(&self) -> Option<Box<Inner<A>>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, inner: Box<Inner<A>>) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(inner);
    }

    fn crash(&self, failure: Failure) -> ActorProcessingErr {
        let why = failure.to_string();
        self.life.record.note_exit(Exit::Crashed(brief(why.clone())));
        why.into()
    }

    /// Lets the actor handle a message, until its deadline. A panic is a failure like any other.
    async fn handle_load(&self, load: Load<A::Msg>, inner: &mut Inner<A>) -> Result<(), Failure> {
        let Some(msg) = inner.ctx.accept(load)? else {
            return Ok(());
        };
        let handling = AssertUnwindSafe(self.actor.handle(&inner.ctx, msg, &mut inner.state)).catch_unwind();
        let mut handling = pin!(handling);
        // Most messages are handled without a wait, and then no timer is needed.
        let handled = match poll!(&mut handling) {
            Poll::Ready(handled) => handled,
            Poll::Pending => match self.life.record.handle_limit() {
                Some(limit) => timeout(limit, handling).await.unwrap_or_else(|_late| {
                    Ok(Err(Failure::new(format!("a message took longer than {limit:?}"))))
                }),
                None => handling.await,
            },
        };
        handled.unwrap_or_else(|panic| Err(Failure::new(panic_text(&*panic))))
    }
}

impl<A: Actor> ractor::Actor for Host<A> {
    type Msg = Envelope<A::Msg>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        let (cell, stats) = (myself.get_cell(), Arc::clone(&self.port.stats));
        self.life.enter(Presence {
            cell,
            stats,
            commands: None,
        });
        let record = &self.life.record;
        let ctx = Ctx::new(myself.clone(), Arc::clone(&self.life));
        let state = self
            .actor
            .start(&ctx)
            .await
            .map_err(|failure| self.crash(failure))?;
        self.put(Box::new(Inner {
            first_message: true,
            state,
            ctx,
        }));
        if !record.running() {
            return Err(TOO_LATE.into());
        }
        self.port.open(myself);
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        envelope: Self::Msg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let mut inner = self
            .take()
            .expect("put back after every message, and an error ends the actor");
        if std::mem::take(&mut inner.first_message) {
            // `ractor` has just told the supervisor of the start, so the supervisor may be next on this thread, in a
            // slot that no other thread takes from. If this actor blocked now, nobody could supervise it.
            yield_now().await;
        }
        let load = self.port.stats.open(envelope, Instant::now());
        self.handle_load(load, &mut inner)
            .await
            .map_err(|failure| self.crash(failure))?;
        self.port.stats.idle();
        self.put(inner);
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Self::Msg>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        if let Some(mut inner) = self.take() {
            self.life.record.stopping();
            let Inner { state, ctx, .. } = &mut *inner;
            let stopping = AssertUnwindSafe(self.actor.stop(ctx, state)).catch_unwind();
            stopping
                .await
                .map_err(|panic| self.crash(Failure::new(panic_text(&*panic))))?;
        }
        Ok(())
    }

    /// A worker has no children, and `ractor`'s default would stop it with them.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Self::Msg>,
        _: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}
