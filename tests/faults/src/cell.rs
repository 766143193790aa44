//! One cell of the matrix: an actor and what is done to it.

use std::fmt;

use agent::Station;
use anyhow::{Context as _, Result, bail, ensure};
use std::time::Duration;
use supervision::faults::{Fault, What, When};
use supervision::{Directory, Tree};

use crate::column::Column;
use crate::nexus::{Calls, HintFault};
use crate::proxy::Mishap;
use crate::treatment::{Messages, Treatment, Wire};
use crate::world::{Plan, World};

/// How long an actor may take for a message where one hangs or blocks. Everything else is far quicker.
const HANDLING_MAX: Duration = Duration::from_secs(1);
/// How long a message blocks its thread: long enough for it to be seen.
pub const BLOCK: Duration = Duration::from_secs(3);

/// A cell that means something.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Who is hurt.
    pub row: Treatment,
    /// How.
    pub column: Column,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.row.actor, self.column)
    }
}

impl Cell {
    /// How its world is prepared.
    pub const fn plan(&self) -> Plan {
        let calls = match self.row.wire {
            Wire::Nexus(calls) => calls,
            Wire::NexusAndHints => Calls::Reads,
            Wire::NexusAtAnEnd | Wire::Coordinator(_) | Wire::Nobody(_) => Calls::Commits,
        };
        let handling_max = match self.column {
            Column::Hang | Column::Block => Some(HANDLING_MAX),
            _ => None,
        };
        Plan { calls, handling_max }
    }

    /// The tree of its actor.
    pub fn tree<'a>(&self, world: &'a World) -> &'a Tree {
        if self.row.actor.starts_with("coordinator") {
            &world.coordinator.tree
        } else {
            &world.agent.tree
        }
    }

    /// The tree in which nothing goes wrong.
    pub fn other_tree<'a>(&self, world: &'a World) -> &'a Tree {
        if self.row.actor.starts_with("coordinator") {
            &world.agent.tree
        } else {
            &world.coordinator.tree
        }
    }

    /// Whether a place is the actor, or below it and so ended with it.
    pub fn concerns(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.row.actor);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether what is done to the actor shows only when a command ends.
    pub const fn shows_at_an_end(&self) -> bool {
        let over_a_message = matches!(
            self.column,
            Column::PanicAtMessage | Column::Error | Column::Hang | Column::Block
        );
        let over_the_wire = matches!(self.column, Column::LostReply | Column::Duplicate);
        let ends = match self.row.wire {
            Wire::Coordinator(route) => route.is_for_ends(),
            Wire::NexusAtAnEnd => true,
            Wire::Nexus(_) | Wire::NexusAndHints | Wire::Nobody(_) => false,
        };
        (over_a_message && matches!(self.row.messages, Messages::AtAnEnd)) || (over_the_wire && ends)
    }

    /// Hurts the actor, or has it hurt at its next opportunity.
    ///
    /// # Errors
    /// It is not there to be hurt.
    pub fn strike(&self, world: &World) -> Result<()> {
        self.strike_wire(world)?;
        self.strike_actor(&self.tree(world).directory())
    }

    /// The part of it that concerns what lies between the actors.
    ///
    /// # Errors
    /// There is nothing.
    pub fn strike_wire(&self, world: &World) -> Result<()> {
        let (mishap, hints) = match self.column {
            Column::LostReply => (Mishap::ReplyLost, HintFault::Lost),
            Column::Duplicate => (Mishap::Repeated, HintFault::Doubled),
            _ => return Ok(()),
        };
        match self.row.wire {
            Wire::Coordinator(route) => world.proxy.arm(route, mishap),
            Wire::NexusAndHints => world.coordinator.nexus.strike_hints(hints),
            Wire::Nexus(_) | Wire::NexusAtAnEnd => {}
            Wire::Nobody(reason) => bail!(reason),
        }
        Ok(())
    }

    /// The part of it that concerns the actor itself.
    ///
    /// # Errors
    /// It is not there to be hurt.
    pub fn strike_actor(&self, directory: &Directory) -> Result<()> {
        let at_message = |what| self.inject(directory, When::Message(self.row.message()), what);
        let at_call = |what| match self.row.wire {
            Wire::Nexus(_) | Wire::NexusAtAnEnd | Wire::NexusAndHints => {
                self.inject(directory, When::Call(1), what)
            }
            Wire::Coordinator(_) | Wire::Nobody(_) => Ok(()),
        };
        match self.column {
            Column::PanicInStart => {
                self.inject(directory, When::Start, What::Panic)?;
                self.kill(directory)
            }
            Column::PanicAtMessage => at_message(What::Panic),
            Column::Error => at_message(What::Error),
            Column::Kill => self.kill(directory),
            Column::Hang => at_message(What::Hang),
            Column::Block => at_message(What::Block(BLOCK)),
            Column::SlowStop => self.inject(directory, When::Stop, What::Hang),
            Column::LostReply => at_call(What::LoseReply),
            Column::Duplicate => at_call(What::Duplicate),
        }
    }

    /// Whether it has happened.
    pub fn has_struck(&self, world: &World) -> bool {
        let fired = self.tree(world).directory().faults().fired();
        let actor = fired
            .iter()
            .any(|fault| fault.path == self.row.actor && !matches!(fault.what, What::Delay(_)));
        match (self.column, self.row.wire) {
            (Column::Kill, _) => true,
            (Column::LostReply | Column::Duplicate, Wire::Coordinator(_)) => world.proxy.n_struck() == 1,
            (Column::LostReply | Column::Duplicate, Wire::NexusAndHints) => {
                actor && world.coordinator.nexus.n_hints_struck() > 0
            }
            _ => actor,
        }
    }

    /// Has something happen to the actor at a moment.
    ///
    /// # Errors
    /// It cannot happen then.
    pub fn inject(&self, directory: &Directory, when: When, what: What) -> Result<()> {
        let path = self.row.actor.to_owned();
        directory
            .faults()
            .inject(Fault { path, when, what })
            .context("inject a fault")
    }

    /// Kills the actor.
    ///
    /// # Errors
    /// It is not there.
    pub fn kill(&self, directory: &Directory) -> Result<()> {
        ensure!(directory.kill(self.row.actor), "{} is not there", self.row.actor);
        Ok(())
    }
}

/// A look at what only the agent's table knows.
pub fn holds_nothing(station: &Station) -> bool {
    station.table.is_empty() && *station.table.watch_held().borrow() == 0
}
