//! What can go wrong with each actor: the one table, and the reasons of what cannot.
//!
//! The actors themselves are listed by the trees. A row says how an actor is brought to a message and over which wire it
//! speaks, so that every column has a meaning for it or a declared reason why it has none.

use crate::column::Column;
use crate::nexus::Calls;
use crate::proxy::Route;

/// One row: how an actor is hurt.
#[derive(Clone, Copy, Debug)]
pub struct Treatment {
    /// Its place.
    pub actor: &'static str,
    /// How a message comes to it.
    pub messages: Messages,
    /// Whom it asks.
    pub wire: Wire,
    /// What happens around it.
    pub story: Story,
}

/// How an actor comes to the message over which it fails.
#[derive(Clone, Copy, Debug)]
pub enum Messages {
    /// While the jobs run: with its n-th message from then on.
    Soon(u32),
    /// When the command of a run ends.
    AtAnEnd,
    /// Never; the reason.
    Never(&'static str),
}

/// Whom an actor asks, and so what can be lost or doubled.
#[derive(Clone, Copy, Debug)]
pub enum Wire {
    /// The nexus, by such calls.
    Nexus(Calls),
    /// The nexus, by commits that follow the end of a run.
    NexusAtAnEnd,
    /// The nexus, which also tells it something by hints.
    NexusAndHints,
    /// The coordinator, by requests of this route.
    Coordinator(Route),
    /// Nobody; the reason.
    Nobody(&'static str),
}

/// What happens around an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// Two jobs run and others wait.
    Running,
    /// The agent's process has died while two jobs ran, and its successor starts.
    Successor,
    /// The tree ends, and with it its process; another one starts.
    EndOfProcess,
}

/// Actors that answer no messages of ours.
const SUPERVISOR: &str =
    "a supervisor handles the library's messages only; its policy is proved in supervisors/core";

/// Actors that are told something only by peers, or for them.
const NO_PEERS: &str =
    "it hears only from peers and for peers, which are in other processes: see crates/mesh/tests";

const TABLE: [Treatment; 25] = [
    coordinator("coordinator/pulse", 2, Wire::NexusAndHints),
    coordinator("coordinator/intake", 2, Wire::Nexus(Calls::Commits)),
    coordinator("coordinator/dispatch", 2, Wire::NexusAtAnEnd),
    coordinator("coordinator/reaper", 1, Wire::Nexus(Calls::Commits)),
    coordinator("coordinator/timekeeper", 1, Wire::Nexus(Calls::Commits)),
    coordinator("coordinator/followups", 1, Wire::Nexus(Calls::Commits)),
    Treatment {
        actor: "coordinator/edge",
        messages: Messages::Never(
            "its one message says that its accept loop has ended, which is an error already: see its kill",
        ),
        wire: Wire::Nobody(
            "it asks nobody; the requests that it lets in are struck on the wire, in the agent's rows",
        ),
        story: Story::Running,
    },
    mesh("coordinator/mesh/clerk", Messages::Never(NO_PEERS)),
    mesh("coordinator/mesh/node", Messages::Soon(2)),
    mesh("coordinator/mesh/courier", Messages::Never(NO_PEERS)),
    mesh("coordinator/mesh/scout", Messages::Soon(2)),
    mesh("coordinator/mesh/gate", Messages::Never(NO_PEERS)),
    agent(
        "agent/session",
        Messages::Soon(2),
        Wire::Coordinator(Route::Agents),
    ),
    agent(
        "agent/lifeline",
        Messages::Soon(2),
        Wire::Coordinator(Route::Renew),
    ),
    Treatment {
        actor: "agent/leftovers",
        messages: Messages::Soon(2),
        wire: Wire::Coordinator(Route::Finish),
        story: Story::Successor,
    },
    agent(
        "agent/marshal",
        Messages::Soon(2),
        Wire::Nobody("it asks nobody outside of its process"),
    ),
    agent(
        "agent/reporter",
        Messages::Soon(2),
        Wire::Coordinator(Route::Finish),
    ),
    agent(
        "agent/poller",
        Messages::Soon(2),
        Wire::Coordinator(Route::Claims),
    ),
    agent(
        "agent/runs/slot-0/execution",
        Messages::AtAnEnd,
        Wire::Coordinator(Route::Blobs),
    ),
    agent(
        "agent/runs/slot-0/shipper",
        Messages::Soon(2),
        Wire::Coordinator(Route::Log),
    ),
    supervisor("coordinator", Story::EndOfProcess),
    supervisor("coordinator/mesh", Story::Running),
    supervisor("agent", Story::EndOfProcess),
    supervisor("agent/runs", Story::Running),
    supervisor("agent/runs/slot-0", Story::Running),
];

const fn coordinator(actor: &'static str, message: u32, wire: Wire) -> Treatment {
    let messages = Messages::Soon(message);
    let story = Story::Running;
    Treatment {
        actor,
        messages,
        wire,
        story,
    }
}

const fn mesh(actor: &'static str, messages: Messages) -> Treatment {
    Treatment {
        actor,
        messages,
        wire: Wire::Nobody("it asks its peers alone, which are in other processes: see crates/mesh/tests"),
        story: Story::Running,
    }
}

const fn agent(actor: &'static str, messages: Messages, wire: Wire) -> Treatment {
    let story = Story::Running;
    Treatment {
        actor,
        messages,
        wire,
        story,
    }
}

const fn supervisor(actor: &'static str, story: Story) -> Treatment {
    let (messages, wire) = (Messages::Never(SUPERVISOR), Wire::Nobody(SUPERVISOR));
    Treatment {
        actor,
        messages,
        wire,
        story,
    }
}

impl Treatment {
    /// The row of an actor, if somebody has written one.
    pub fn of(actor: &str) -> Option<Self> {
        TABLE.into_iter().find(|row| row.actor == actor)
    }

    /// The actors of all rows.
    pub fn actors() -> impl Iterator<Item = &'static str> {
        TABLE.into_iter().map(|row| row.actor)
    }

    /// Why a column means nothing for this actor.
    pub fn not_applicable(&self, column: Column) -> Option<&'static str> {
        match column {
            Column::Kill => None,
            Column::PanicInStart | Column::SlowStop => match self.messages {
                Messages::Never(SUPERVISOR) => Some(SUPERVISOR),
                Messages::Never(_) | Messages::Soon(_) | Messages::AtAnEnd => None,
            },
            Column::PanicAtMessage | Column::Error | Column::Hang | Column::Block => match self.messages {
                Messages::Never(reason) => Some(reason),
                Messages::Soon(_) | Messages::AtAnEnd => None,
            },
            Column::LostReply | Column::Duplicate => match self.wire {
                Wire::Nobody(reason) => Some(reason),
                Wire::Nexus(_) | Wire::NexusAtAnEnd | Wire::NexusAndHints | Wire::Coordinator(_) => None,
            },
        }
    }

    /// The message over which it fails.
    pub const fn message(&self) -> u32 {
        match self.messages {
            Messages::Soon(n) => n,
            Messages::AtAnEnd | Messages::Never(_) => 1,
        }
    }
}
