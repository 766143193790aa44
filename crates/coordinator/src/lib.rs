//! The control plane: stateless actors and the HTTP API over one ledger and one vault.
//!
//! [`Coordinator`] is the wiring that all of it shares; nothing in it is truth, so a coordinator may vanish at any
//! moment. The actors are reconcilers: woken by an event and by a timer, they read the nexus, call the domain and
//! commit. Which actor is restarted by whom is not said here but in `supervisors/coordinator`.

mod access;
mod agents_seen;
mod connections;
mod coordinator;
mod dispatch;
mod edge;
pub mod fail_points;
mod followups;
mod http;
mod inspection;
mod intake;
mod jitter;
mod lease_seal;
mod mesh_metrics;
mod metrics;
mod nexus_metrics;
mod offers;
mod peers;
mod pulse;
mod reaper;
mod refusals;
mod seldom;
mod signals;
mod timekeeper;
mod trees;

pub use self::access::{Access, AccessError, Role};
pub use self::connections::Connections;
pub use self::coordinator::{Config, Coordinator, NEXUS_CALL_MAX, Parts};
pub use self::inspection::Inspection;
pub use self::lease_seal::LeaseSeal;
pub use self::peers::Peers;
pub use self::signals::Health;
pub use self::trees::ObservedTree;
pub use protocol::limits::BLOB_BYTES_MAX;

/// The children of a coordinator, in dependency order, for its tree.
pub mod children {
    pub use crate::dispatch::child_spec as dispatch;
    pub use crate::edge::child_spec as edge;
    pub use crate::followups::child_spec as followups;
    pub use crate::intake::child_spec as intake;
    pub use crate::pulse::child_spec as pulse;
    pub use crate::reaper::child_spec as reaper;
    pub use crate::timekeeper::child_spec as timekeeper;
}
