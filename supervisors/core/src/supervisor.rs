//! The supervisor: carries out what `policy` decides.
//!
//! The one idea: the shell does one action at a time and reports back, so what is true of the policy is true of the
//! tree. While it starts or ends children it hears nothing else, as in OTP; a kill still reaches it. Events of actors
//! that are no longer its children (ended by itself, abandoned, an earlier life) are not looked at.

mod requests;
mod shell;

use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::time::Instant;

pub(crate) use self::requests::Change;
use self::shell::Shell;
use crate::child::{Port, TOO_LATE};
use crate::children::{ChildCounts, ChildError, ChildInfo};
use crate::dynamic::{ChildRef, DynamicShape, StartChildError};
use crate::exit::Exit;
use crate::handle::{Handle, Reply};
use crate::life::{Life, Presence};
use crate::mailbox::{Envelope, Load};
use crate::policy::{ChildKey, Event, Rules};
use crate::spec::{AutoShutdown, ChildSpec, Strategy, TreeSpec};

/// The most requests that may wait at one supervisor.
pub(crate) const COMMANDS_MAX: usize = 1024;

/// What a supervisor is asked for.
pub(crate) enum Command {
    Retry { key: ChildKey, incarnation: u64 },
    StartDynamic(ChildSpec, Reply<Result<ChildRef, StartChildError>>),
    EndDynamic(ChildRef, Reply<bool>),
    Change(Change, Reply<Result<(), ChildError>>),
    WhichChildren(Reply<Vec<ChildInfo>>),
    CountChildren(Reply<ChildCounts>),
}

/// Which children a supervisor has.
#[derive(Clone)]
pub(crate) enum Shape {
    Fixed(Arc<TreeSpec>),
    Dynamic(Arc<DynamicShape>),
}

impl Shape {
    fn rules(&self) -> Rules {
        match self {
            Self::Fixed(tree) => Rules {
                strategy: tree.strategy,
                intensity: tree.intensity,
                auto_shutdown: tree.auto_shutdown,
                dynamic: false,
            },
            Self::Dynamic(shape) => Rules {
                strategy: Strategy::OneForOne,
                intensity: shape.intensity,
                auto_shutdown: AutoShutdown::Never,
                dynamic: true,
            },
        }
    }

    fn commands(&self) -> Handle<Command> {
        match self {
            Self::Fixed(_) => Handle::new("supervisor", COMMANDS_MAX),
            Self::Dynamic(shape) => shape.commands.clone(),
        }
    }

    /// How many children may be added while it runs.
    fn room(&self) -> usize {
        match self {
            Self::Fixed(_) => 0,
            Self::Dynamic(shape) => shape.max_children,
        }
    }
}

/// A supervisor as `ractor` sees it.
pub(crate) struct Supervisor {
    port: Port<Command>,
    shape: Shape,
    life: Life,
}

impl Supervisor {
    pub(crate) fn new(shape: Shape, life: Life) -> Self {
        Self {
            port: Port::new(shape.commands()),
            shape,
            life,
        }
    }

    fn leave(&self, myself: &ActorRef<Envelope<Command>>, exit: Option<Exit>) {
        if let Some(exit) = exit {
            self.life.record.note_exit(exit.clone());
            myself.stop(Some(exit.to_reason()));
        }
    }
}

impl Drop for Supervisor {
    /// However it ended: who counts its children must not count those that are gone.
    fn drop(&mut self) {
        if let Shape::Dynamic(shape) = &self.shape {
            shape.n_children.store(0);
        }
    }
}

impl ractor::Actor for Supervisor {
    type Msg = Envelope<Command>;
    type State = Shell;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, (): ()) -> Result<Shell, ActorProcessingErr> {
        let (cell, stats) = (myself.get_cell(), Arc::clone(&self.port.stats));
        let commands = Some(self.port.handle.clone());
        self.life.enter(Presence {
            cell,
            stats,
            commands,
        });
        let mut shell = Shell::new(&self.shape, &self.life, myself.clone());
        let first = shell.step(Event::Init);
        if let Some(exit) = shell.drive(first).await {
            let why = if let Exit::Crashed(why) = exit {
                why
            } else {
                exit.to_string()
            };
            return Err(why.into());
        }
        if !self.life.record.running() {
            return Err(TOO_LATE.into());
        }
        self.port.open(myself);
        Ok(shell)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        envelope: Self::Msg,
        shell: &mut Shell,
    ) -> Result<(), ActorProcessingErr> {
        let Load::Told(command) = self.port.stats.open(envelope, Instant::now()) else {
            unreachable!("a supervisor sets no tick and starts no task");
        };
        let exit = shell.on_command(command).await;
        self.port.stats.idle();
        self.leave(&myself, exit);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        shell: &mut Shell,
    ) -> Result<(), ActorProcessingErr> {
        if let Some((who, exit)) = Exit::of(event) {
            let exit = shell.on_exit(who.get_id().pid(), exit).await;
            self.leave(&myself, exit);
        }
        Ok(())
    }

    /// `ractor` would kill the children after this, all at once and without waiting.
    async fn post_stop(&self, _: ActorRef<Self::Msg>, shell: &mut Shell) -> Result<(), ActorProcessingErr> {
        self.life.record.stopping();
        let first = shell.step(Event::Shutdown);
        shell.drive(first).await;
        Ok(())
    }
}
