//! What restarts what in a coordinator.
//!
//! Start order is dependency order, so `edge` takes no request before the others are up, and stops first. The actors
//! share no state that one's death could spoil: one_for_one. Ten restarts in a minute are not bad luck; then the
//! process ends and says why, and the next one reads everything from the nexus.

mod mesh_config;
mod nexus_config;
mod nexus_url;
mod running;
mod start;
mod telling;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use coordinator::{Coordinator, Peers, children};
use mesh::Mesh;
use supervision::{Intensity, Strategy, TreeSpec};
use tokio::net::TcpListener;

pub use self::mesh_config::{MESH_COOKIE_FILE, MeshConfig, MeshConfigError};
pub use self::nexus_config::{NexusConfig, NexusConfigError};
pub use self::nexus_url::{NexusUrl, NotANexus, RedisUrl, Why};
pub use self::running::{CLOSE_MAX, END_MAX, HURRIED_END_MAX, NEXUS_CLOSE_MAX, Running, STOP_MAX};
pub use self::start::{Config, StartError, start, start_beside};
pub use self::tokens::{ADMIN_TOKEN_FILE, JOIN_TOKEN_FILE, Tokens, TokensError};

/// Restarts that are allowed in [`WITHIN`].
const RESTARTS_MAX: u32 = 10;
const WITHIN: Duration = Duration::from_secs(60);

/// The tree of one coordinator without a mesh.
pub fn tree(coordinator: &Arc<Coordinator>, listener: Arc<TcpListener>) -> TreeSpec {
    actors(coordinator).child(children::edge(coordinator, listener))
}

/// The tree of one coordinator that has a link to others. The mesh never gives up, whatever happens to it.
pub fn meshed_tree(coordinator: &Arc<Coordinator>, listener: Arc<TcpListener>, mesh: Mesh) -> TreeSpec {
    let service = Peers::new(Arc::clone(coordinator));
    actors(coordinator)
        .child(mesh.child(Arc::new(service)))
        .child(children::edge(coordinator, listener))
}

fn actors(coordinator: &Arc<Coordinator>) -> TreeSpec {
    TreeSpec::new(
        Strategy::OneForOne,
        Intensity {
            max: RESTARTS_MAX,
            within: WITHIN,
        },
    )
    .child(children::pulse(coordinator))
    .child(children::intake(coordinator))
    .child(children::dispatch(coordinator))
    .child(children::reaper(coordinator))
    .child(children::timekeeper(coordinator))
    .child(children::followups(coordinator))
}
