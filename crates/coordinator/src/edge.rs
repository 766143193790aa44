//! Accepts connections. The socket was opened by `main` and outlives this actor, and so do the connections.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::net::TcpListener;

use crate::connections::Connections;
use crate::coordinator::Coordinator;
use crate::http;

/// Pause after a failed accept: it is nearly always a lack of file descriptors, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MAILBOX: usize = 1;

pub(crate) enum Msg {
    /// The accept loop has ended.
    Ended,
}

pub(crate) struct Edge {
    listener: Arc<TcpListener>,
    connections: Connections,
    router: Router,
}

/// The last child: it starts when all others are up and stops before them.
pub fn child_spec(coordinator: &Arc<Coordinator>, listener: Arc<TcpListener>) -> ChildSpec {
    let connections = coordinator.connections.clone();
    let router = http::router(Arc::clone(coordinator));
    let handle = Handle::new("edge", MAILBOX);
    ChildSpec::worker("edge", &handle, move || Edge {
        listener: Arc::clone(&listener),
        connections: connections.clone(),
        router: router.clone(),
    })
}

impl Actor for Edge {
    type Msg = Msg;
    type State = ();

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        ctx.task(accept(
            Arc::clone(&self.listener),
            self.connections.clone(),
            self.router.clone(),
        ))?;
        Ok(())
    }

    async fn handle(&self, _ctx: &Ctx<Msg>, msg: Msg, _state: &mut ()) -> Result<(), Failure> {
        match msg {
            Msg::Ended => Err(Failure::new("the accept loop ended")),
        }
    }
}

async fn accept(listener: Arc<TcpListener>, connections: Connections, router: Router) -> Msg {
    let closing = connections.closing();
    tokio::select! {
        () = accept_all(&listener, &connections, &router) => Msg::Ended,
        // The process stops, and this actor with it: an end of its own would only be restarted.
        () = closing.cancelled() => std::future::pending().await,
    }
}

async fn accept_all(listener: &TcpListener, connections: &Connections, router: &Router) {
    loop {
        let room = connections.room().await;
        match listener.accept().await {
            Ok((stream, _)) => connections.serve(stream, router.clone(), room),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
