//! A running coordinator, and how it ends.
//!
//! Told to stop it takes no new request, lets those under way end, stops the actors and closes the nexus. Each step has
//! a limit, and [`END_MAX`] is their sum. Whoever has no patience for the requests and the actors says so; what is cut
//! off then is what a crash would cut off, and every request may be repeated.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coordinator::Coordinator;
use nexus::Nexus;
use supervision::{Exit, KILL_GRACE, Tree, TreePath};
use tokio::time::timeout;

/// How long requests under way may take to end. Those that only wait are answered at once.
pub const CLOSE_MAX: Duration = Duration::from_secs(5);
/// How long all actors together may take to stop before they are killed.
pub const STOP_MAX: Duration = Duration::from_secs(10);
/// How long the nexus may take to finish what it has accepted. What it has acknowledged is on the disk before.
pub const NEXUS_CLOSE_MAX: Duration = Duration::from_secs(5);
/// How long a coordinator takes to end at most.
pub const END_MAX: Duration = HURRIED_END_MAX.saturating_add(CLOSE_MAX).saturating_add(STOP_MAX);
/// How long it takes at most once nobody has patience any more.
pub const HURRIED_END_MAX: Duration = KILL_GRACE.saturating_add(NEXUS_CLOSE_MAX);

/// A running coordinator.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    pub(crate) tree: Tree,
    pub(crate) coordinator: Arc<Coordinator>,
    pub(crate) nexus: Arc<dyn Nexus>,
}

impl Running {
    /// Waits until the tree has ended by itself, which is a failure, and says why.
    pub async fn exited(&self) -> Exit {
        self.tree.exited().await
    }

    /// Stops: no new requests, running ones may end, then the actors in reverse order, then the nexus. Takes
    /// [`END_MAX`] at most, and [`HURRIED_END_MAX`] from when `hurry` ends. Returns the actors that did not end.
    pub async fn stop(&self, hurry: impl Future<Output = ()>) -> Vec<TreePath> {
        let abandoned = tokio::select! {
            abandoned = self.wind_down(CLOSE_MAX, STOP_MAX) => abandoned,
            () = hurry => self.wind_down(Duration::ZERO, Duration::ZERO).await,
        };
        match timeout(NEXUS_CLOSE_MAX, self.nexus.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the nexus was not closed"),
            Err(_late) => tracing::error!("the nexus was not closed in time"),
        }
        abandoned
    }

    /// Ends requests and actors. May be cancelled and called again.
    async fn wind_down(&self, close_max: Duration, stop_max: Duration) -> Vec<TreePath> {
        let cut_off = self.coordinator.connections.close(close_max).await;
        if cut_off > 0 {
            tracing::warn!(cut_off, "requests were cut off");
        }
        self.tree.stop(stop_max).await
    }
}
