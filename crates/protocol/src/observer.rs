//! The live actors of a coordinator's process, and of its peers', on the wire: `GET /v1/observer/tree`.
//!
//! The one idea: it is a reading of counters, taken without asking any actor, so it shows a hung actor as hung. Two
//! readings of one life give rates: the difference of `handled` over that of `age_ms`. All times are lengths counted
//! back from the moment of the reading, so no two clocks need to agree.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most actors of one process in a reading, over all its trees; `under` shows the rest.
pub const ACTORS_SHOWN_MAX: usize = 10_000;
/// The same for each peer of the coordinator that answers.
pub const PEER_ACTORS_SHOWN_MAX: usize = 2_000;

/// Which part is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObserverQuery {
    /// Only the actor at this path and what is under it, such as `agent/runs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<String>,
    /// Only the coordinator that answers, not its peers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
}

/// A reading of all trees of the process, and of those of its peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// One entry for each tree, also for those that have ended and have no actors.
    pub trees: Vec<TreeView>,
    /// There were more than [`ACTORS_SHOWN_MAX`] actors; the last ones are left out.
    pub truncated: bool,
    /// What the coordinator that answers is called in the mesh; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<String>,
    /// Its peers in the mesh by name, those included that cannot be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerView>,
}

/// Another coordinator, as the one that answers sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// What it is called in the mesh; its address, while nobody has answered there.
    pub name: String,
    /// Where it is dialled, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether it answers.
    pub state: PeerState,
    /// For how long it has been connected, or unreachable, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// How long its last answer to a probe took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beat_us: Option<u64>,
    /// Why there is no reading of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its trees; none without a reading.
    pub trees: Vec<TreeView>,
    /// There were more than [`PEER_ACTORS_SHOWN_MAX`] actors; the last ones are left out.
    pub truncated: bool,
}

/// Whether a peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It has answered.
    Up,
    /// It is connected, but has not answered this time.
    Silent,
    /// It is not connected.
    Unreachable,
}

impl PeerState {
    /// The word for tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeView {
    /// Its name, with which the paths of its actors begin.
    pub name: String,
    /// Its live actors, parents before their children.
    pub actors: Vec<ActorView>,
    /// What happened last, oldest first.
    pub events: Vec<TreeEventView>,
    /// How often things happened since the tree began.
    pub totals: TotalsView,
}

/// One life of one actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorView {
    /// Its place in the tree, such as `coordinator/dispatch`.
    pub path: String,
    /// Whether it works or supervises.
    pub kind: ActorKind,
    /// Where it is in its life.
    pub state: ActorState,
    /// The number of this life.
    pub incarnation: u64,
    /// How long this life has lasted, its start included.
    pub age_ms: u64,
    /// How often this child was started again by its present supervisor.
    pub restarts: u64,
    /// How near it is to giving up; supervisors only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowView>,
    /// How its previous life ended; none in the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<ExitView>,
    /// For how long it has been at work on its present message; none between messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_ms: Option<u64>,
    /// Its mailbox.
    pub mailbox: MailboxView,
}

/// What an actor is for its supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// It does the work.
    Worker,
    /// It supervises a fixed list of children.
    Supervisor,
    /// It supervises children started on demand.
    Dynamic,
}

/// Where an actor is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorState {
    /// Its start has not finished.
    Starting,
    /// It handles messages.
    Running,
    /// It has worked for longer than it may and could not be ended for it: it blocks its thread.
    Stuck,
    /// It was asked to stop, or killed.
    Stopping,
    /// It did not end when killed. Its place may be taken by a successor.
    Abandoned,
}

impl ActorState {
    /// The word for tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stuck => "stuck",
            Self::Stopping => "stopping",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The restarts that a supervisor counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowView {
    /// Restarts within the window that ends now.
    pub restarts: usize,
    /// With one more than these it gives up.
    pub max: u32,
    /// The length of the window.
    pub within_ms: u64,
}

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitView {
    /// In one word.
    pub how: ExitKind,
    /// The last words of a crash or of a supervisor that gave up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a life ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    /// It had nothing left to do.
    Normal,
    /// Its supervisor asked it to stop.
    Shutdown,
    /// A supervisor that met too many failures.
    GaveUp,
    /// It was killed.
    Killed,
    /// It panicked or returned an error.
    Crashed,
}

impl ExitKind {
    /// The words for tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Shutdown => "shutdown",
            Self::GaveUp => "gave up",
            Self::Killed => "killed",
            Self::Crashed => "crashed",
        }
    }
}

/// A mailbox. Only messages from outside are counted, not those of an actor to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxView {
    /// Messages waiting now.
    pub depth: usize,
    /// The most that may wait.
    pub capacity: usize,
    /// Messages accepted in this life.
    pub sent: u64,
    /// Messages taken out in this life.
    pub handled: u64,
    /// A bound that half of the waits of this life did not exceed, at most twice too large; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// The same for 99 of 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<u64>,
}

/// Something that happened to one life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEventView {
    /// Its place in the order of all events of the tree, from 1.
    pub number: u64,
    /// How long ago.
    pub age_ms: u64,
    /// Whom it happened to.
    pub path: String,
    /// Which life of it.
    pub incarnation: u64,
    /// What it was: `started`, `start_failed`, `ended`, `stuck`, `unstuck`, `abandoned` or `injected`.
    pub what: String,
    /// More about it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Counts since a tree began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsView {
    /// Starts that worked, the first ones included.
    pub starts: u64,
    /// Starts of what had been up before.
    pub restarts: u64,
    /// Starts that failed.
    pub failed_starts: u64,
    /// Ends by panic or error.
    pub crashes: u64,
    /// Ends by a kill.
    pub kills: u64,
    /// Supervisors that gave up.
    pub gave_up: u64,
    /// Times that an actor blocked its thread for too long.
    pub stuck: u64,
    /// Actors that did not end when killed.
    pub abandoned: u64,
}

impl Reading {
    /// All actors of all trees.
    pub fn actors(&self) -> impl Iterator<Item = &ActorView> {
        self.trees.iter().flat_map(|tree| &tree.actors)
    }

    /// The latest life at a path.
    pub fn actor(&self, path: &str) -> Option<&ActorView> {
        self.actors().filter(|actor| actor.path == path).last()
    }
}

/// A length of time in whole milliseconds, as it is on the wire.
pub fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crashed() -> ActorView {
        ActorView {
            path: "coordinator/dispatch".to_owned(),
            kind: ActorKind::Worker,
            state: ActorState::Stuck,
            incarnation: 2,
            age_ms: 61_000,
            restarts: 1,
            window: None,
            last_exit: Some(ExitView {
                how: ExitKind::Crashed,
                why: Some("index out of bounds".to_owned()),
            }),
            busy_ms: Some(60_500),
            mailbox: MailboxView {
                depth: 3,
                capacity: 4_096,
                sent: 20,
                handled: 17,
                p50_us: Some(64),
                p99_us: Some(2_048),
            },
        }
    }

    fn root() -> ActorView {
        ActorView {
            path: "coordinator".to_owned(),
            kind: ActorKind::Supervisor,
            state: ActorState::Running,
            incarnation: 1,
            restarts: 0,
            window: Some(WindowView {
                restarts: 1,
                max: 10,
                within_ms: 60_000,
            }),
            last_exit: None,
            busy_ms: None,
            mailbox: MailboxView {
                p50_us: None,
                p99_us: None,
                ..crashed().mailbox
            },
            ..crashed()
        }
    }

    #[test]
    fn a_reading_looks_like_this() {
        let reading = Reading {
            trees: vec![TreeView {
                name: "coordinator".to_owned(),
                actors: vec![root(), crashed()],
                events: vec![TreeEventView {
                    number: 9,
                    age_ms: 61_000,
                    path: "coordinator/dispatch".to_owned(),
                    incarnation: 1,
                    what: "ended".to_owned(),
                    detail: Some("crashed: index out of bounds".to_owned()),
                }],
                totals: TotalsView {
                    starts: 9,
                    restarts: 1,
                    crashes: 1,
                    stuck: 1,
                    ..TotalsView::default()
                },
            }],
            truncated: false,
            coordinator: None,
            peers: Vec::new(),
        };
        let json = serde_json::to_value(&reading).unwrap();
        assert_eq!(serde_json::from_value::<Reading>(json).unwrap(), reading);
        insta::assert_json_snapshot!(reading);
        assert_eq!(reading.actor("coordinator/dispatch"), Some(&crashed()));
    }

    #[test]
    fn a_reading_of_a_cluster_says_of_each_peer_whether_it_answers() {
        let peer = |name: &str, state, why: Option<&str>| PeerView {
            name: name.to_owned(),
            address: Some(format!("{name}:7080")),
            state,
            for_ms: Some(7_000),
            beat_us: None,
            why: why.map(str::to_owned),
            trees: Vec::new(),
            truncated: false,
        };
        let reading = Reading {
            trees: Vec::new(),
            truncated: false,
            coordinator: Some("c1".to_owned()),
            peers: vec![
                peer("c2", PeerState::Up, None),
                peer("c3", PeerState::Unreachable, Some("it does not answer")),
            ],
        };
        insta::assert_json_snapshot!(reading);
        for state in [PeerState::Up, PeerState::Silent, PeerState::Unreachable] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }

    #[test]
    fn every_word_for_tables_is_the_word_on_the_wire() {
        use ActorState::{Abandoned, Running, Starting, Stopping, Stuck};
        for state in [Starting, Running, Stuck, Stopping, Abandoned] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
