//! The open HTTP connections of a process. They belong to no actor, so the restart of the accept loop ends none.
//!
//! At most [`CONNECTIONS_MAX`] are open at once; one whose client vanished is found by the kernel and ended. Closing
//! lets running requests end, for a bounded time, and drops the rest: every request may be repeated.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that are open at once; more wait to be accepted.
pub(crate) const CONNECTIONS_MAX: usize = 4_096;
/// How long a client may take to send the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// Silence after which the client's machine is asked whether it is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// Time between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Questions without an answer after which a connection is dead.
const KEEPALIVE_RETRIES: u32 = 3;
/// How long what was sent may stay unacknowledged; keepalive asks nothing meanwhile.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

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
        if let Err(error) = tune(&stream) {
            tracing::debug!(%error, "a connection keeps the system's settings");
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

/// Makes a connection prompt, and makes a client that vanished without a word give up its place and its locks.
fn tune(stream: &TcpStream) -> std::io::Result<()> {
    // Small replies must not wait for the client's delayed acknowledgement.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_client_that_vanished_is_found_within_a_minute() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        tune(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        let asking = socket.tcp_keepalive_interval().unwrap() * socket.tcp_keepalive_retries().unwrap();
        let idle = socket.tcp_keepalive_time().unwrap() + asking;
        let sending = socket.tcp_user_timeout().unwrap().unwrap();
        assert!(
            idle.max(sending) <= Duration::from_secs(60),
            "{idle:?}, {sending:?}"
        );
    }
}
