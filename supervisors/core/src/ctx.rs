//! What an actor may do about itself: tell itself something, set a tick, run a task beside its mailbox, stop.
//!
//! The one idea: everything started here belongs to one incarnation and is cancelled when that incarnation ends,
//! whichever way it ends. Nothing here waits, and nothing counts against the mailbox bound.

use std::any::Any;
use std::future::Future;
use std::mem::{Discriminant, discriminant};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use ractor::ActorRef;
use thiserror::Error;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::Instrument as _;

use crate::exit::Exit;
use crate::life::Life;
use crate::mailbox::{Envelope, Load};
use crate::{Failure, TreePath};

/// The most tasks that one actor may have running, its ticks included.
pub const TASKS_MAX: usize = 1024;

/// Why a task was not begun: [`TASKS_MAX`] are running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{TASKS_MAX} tasks of this actor are running already")]
pub struct TooManyTasks;

/// The surroundings of one incarnation.
pub struct Ctx<M> {
    myself: ActorRef<Envelope<M>>,
    life: Arc<Life>,
    /// A lock and not a message: only this actor touches it, never across an await point.
    duties: Mutex<Duties<M>>,
}

struct Duties<M> {
    tasks: JoinSet<()>,
    ticks: Vec<Tick<M>>,
    tick_number: u64,
}

struct Tick<M> {
    variant: Discriminant<M>,
    number: u64,
    timer: AbortHandle,
}

impl<M: Send + 'static> Ctx<M> {
    pub(crate) fn new(myself: ActorRef<Envelope<M>>, life: Arc<Life>) -> Self {
        let duties = Duties {
            tasks: JoinSet::new(),
            ticks: Vec::new(),
            tick_number: 0,
        };
        Self {
            myself,
            life,
            duties: Mutex::new(duties),
        }
    }

    /// Returns this actor's place in the tree.
    pub fn path(&self) -> &TreePath {
        &self.life.record.birth.path
    }

    /// Returns the number of this life; it rises with every start of this child by the same supervisor.
    pub fn incarnation(&self) -> u64 {
        self.life.record.birth.incarnation
    }

    /// Queues a message behind those that wait already. This is how long work is done in steps.
    pub fn tell_self(&self, msg: M) {
        tell(&self.myself, Load::Told(msg));
    }

    /// Delivers `msg` after `delay`. At most one tick per message variant is outstanding:
    /// a new one replaces the old, which is then never delivered.
    pub fn tick_after(&self, delay: Duration, msg: M) {
        let variant = discriminant(&msg);
        let mut duties = self.duties();
        duties.forget_tick(variant);
        duties.tick_number += 1;
        let number = duties.tick_number;
        let myself = self.myself.clone();
        let timer = duties.spawn(async move {
            sleep(delay).await;
            tell(&myself, Load::Tick(msg, number));
        });
        duties.ticks.push(Tick {
            variant,
            number,
            timer,
        });
    }

    /// Runs `work` beside the mailbox, for waits that must not keep messages or a stop waiting. Its output comes back
    /// as a message. A panic in it crashes the actor. Refused when [`TASKS_MAX`] are running.
    pub fn task(&self, work: impl Future<Output = M> + Send + 'static) -> Result<(), TooManyTasks> {
        let mut duties = self.duties();
        while duties.tasks.try_join_next().is_some() {}
        if duties.tasks.len() >= TASKS_MAX {
            return Err(TooManyTasks);
        }
        let (myself, life) = (self.myself.clone(), Arc::clone(&self.life));
        #[cfg(feature = "faults")]
        let work = crate::faults::as_same_caller(work);
        duties.spawn(async move {
            // Let go of after the work, which an abort does not interrupt in synchronous code.
            let _life = life;
            let load = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(msg) => Load::Told(msg),
                Err(panic) => Load::TaskPanicked(panic_text(&*panic)),
            };
            tell(&myself, load);
        });
        Ok(())
    }

    /// Ends this actor with [`Exit::Normal`] after the current message; what is queued is dropped.
    pub fn stop_self(&self) {
        self.myself.stop(Some(Exit::Normal.to_reason()));
    }

    /// Returns the message to handle, or nothing for a tick that was replaced.
    pub(crate) fn accept(&self, load: Load<M>) -> Result<Option<M>, Failure> {
        match load {
            Load::Told(msg) => Ok(Some(msg)),
            Load::Tick(msg, number) => Ok(self.duties().take_tick(number).then_some(msg)),
            Load::TaskPanicked(text) => Err(Failure::new(format!("task panicked: {text}"))),
        }
    }

    fn duties(&self) -> MutexGuard<'_, Duties<M>> {
        self.duties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Duties<M> {
    fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(work.in_current_span())
    }

    fn forget_tick(&mut self, variant: Discriminant<M>) {
        if let Some(at) = self.ticks.iter().position(|tick| tick.variant == variant) {
            self.ticks.swap_remove(at).timer.abort();
        }
    }

    fn take_tick(&mut self, number: u64) -> bool {
        let at = self.ticks.iter().position(|tick| tick.number == number);
        at.map(|at| self.ticks.swap_remove(at)).is_some()
    }
}

/// A message to oneself fails only when oneself is about to end, and then nobody would read it.
fn tell<M: Send + 'static>(myself: &ActorRef<Envelope<M>>, load: Load<M>) {
    myself.send_message(Envelope::internal(load)).ok();
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".to_owned())
}
