//! The open HTTP connections of a process. They belong to no actor, so the restart of the accept loop ends none.
//!
//! At most [`CONNECTIONS_MAX`] are open at once. Closing lets running requests end, for a bounded time, and drops the
//! rest: every request may be repeated.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that are open at once; more wait to be accepted.
pub(crate) const CONNECTIONS_MAX: usize = 4_096;
/// How long a client may take to send the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(30);

/// The open connections. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    tasks: TaskTracker,
    closing: CancellationToken,
    room: Arc<Semaphore>,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self {
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            room: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }

    /// Waits for room for one more connection.
    pub(crate) async fn room(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.room)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed")
    }

    /// Serves one connection until it ends, or the process closes.
    pub(crate) fn serve(&self, stream: TcpStream, router: Router, room: OwnedSemaphorePermit) {
        // Small replies must not wait for the client's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays with Nagle's algorithm");
        }
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            let service = TowerToHyperService::new(router);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_MAX)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke off");
            }
            drop(room);
        });
    }

    /// Tells whoever streams or parks that the process is closing.
    pub(crate) fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// Closes: running requests may end within `limit`. Returns how many connections were left.
    pub async fn close(&self, limit: Duration) -> usize {
        self.closing.cancel();
        self.tasks.close();
        match tokio::time::timeout(limit, self.tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => self.tasks.len(),
        }
    }
}
