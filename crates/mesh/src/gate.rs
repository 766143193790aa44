//! Accepts connections of peers. The socket was opened before the tree, and outlives this actor.
//!
//! Each handshake is a task of its own with a limit, so that one that stalls holds up nobody.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::greeting::GreetError;
use crate::handshake::{Greeted, HandshakeError, receive};
use crate::mesh::PACE;
use crate::node;
use crate::roster::Sessions;
use crate::tls::Tls;

/// Handshakes under way at most; a connection beyond them is closed at once.
const HANDSHAKES_MAX: usize = 64;
/// Pause after a failed accept: it is nearly always a lack of file descriptors, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) enum Msg {
    /// A connection came in.
    Accepted(io::Result<(TcpStream, SocketAddr)>),
    /// A handshake has ended.
    Greeted(SocketAddr, Result<Greeted, HandshakeError>),
}

pub(crate) struct Gate {
    pub(crate) listener: Arc<TcpListener>,
    pub(crate) tls: Option<Tls>,
    pub(crate) node: Handle<node::Msg>,
    pub(crate) sessions: watch::Receiver<Sessions>,
}

/// Permanent: without it peers can be dialled, but cannot dial. The last child: when it starts, the others are up.
pub(crate) fn child_spec(handle: &Handle<Msg>, make: impl Fn() -> Gate + Send + Sync + 'static) -> ChildSpec {
    ChildSpec::worker("gate", handle, make).backoff(PACE)
}

impl Actor for Gate {
    type Msg = Msg;
    /// Handshakes under way.
    type State = usize;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<usize, Failure> {
        self.accept(ctx, Duration::ZERO)?;
        Ok(0)
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, shaking: &mut usize) -> Result<(), Failure> {
        match msg {
            Msg::Accepted(Ok((stream, from))) => {
                self.accept(ctx, Duration::ZERO)?;
                self.on_accepted(ctx, stream, from, shaking)?;
            }
            Msg::Accepted(Err(error)) => {
                tracing::warn!(%error, "cannot accept a mesh connection");
                self.accept(ctx, ACCEPT_PAUSE)?;
            }
            Msg::Greeted(from, outcome) => {
                *shaking -= 1;
                self.on_greeted(from, outcome);
            }
        }
        Ok(())
    }
}

impl Gate {
    fn accept(&self, ctx: &Ctx<Msg>, pause: Duration) -> Result<(), Failure> {
        let listener = Arc::clone(&self.listener);
        ctx.task(async move {
            sleep(pause).await;
            Msg::Accepted(listener.accept().await)
        })?;
        Ok(())
    }

    fn on_accepted(
        &self,
        ctx: &Ctx<Msg>,
        stream: TcpStream,
        from: SocketAddr,
        shaking: &mut usize,
    ) -> Result<(), Failure> {
        // Nobody to hand it to: the peer dials again.
        let Some(own) = self.sessions.borrow().own.clone() else {
            return Ok(());
        };
        if *shaking >= HANDSHAKES_MAX {
            tracing::warn!(%from, "a mesh connection is refused: {HANDSHAKES_MAX} others are at their handshakes");
            return Ok(());
        }
        let tls = self.tls.clone();
        ctx.task(async move { Msg::Greeted(from, receive(stream, from, tls, own).await) })?;
        *shaking += 1;
        Ok(())
    }

    fn on_greeted(&self, from: SocketAddr, outcome: Result<Greeted, HandshakeError>) {
        match outcome {
            Ok(greeted) => {
                // Refused, the connection is dropped, and the peer dials again.
                let connected = node::Msg::Connected {
                    greeted,
                    dialled: false,
                };
                self.node.try_tell(connected).ok();
            }
            // A peer that only looked who is here.
            Err(HandshakeError::Greet(GreetError::NotWanted)) => {}
            Err(error) => tracing::info!(%from, %error, "a connection to the mesh came to nothing"),
        }
    }
}
