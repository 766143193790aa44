//! The library's node server, with the desk beside it, as one thing that lives and dies with the `node` actor.
//!
//! The server opens a listener of its own, which nothing here uses: it accepts TLS one at a time and waits for ever. So
//! it gets a free port of the loopback address, and the real connections are made by `gate` and `scout` and handed in.
//! Dials of its own it makes none: it knows its peers' peers only in the mode that is not used here, and would dial
//! those without TLS.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorId, ActorRef};
use ractor_cluster::node::{NodeConnectionMode, NodeServerSessionInformation};
use ractor_cluster::{NodeEventSubscription, NodeServer, NodeServerMessage, NodeSessionMessage};
use supervision::{Failure, Handle};

use crate::answer::FRAME_BYTES_MAX;
use crate::clerk;
use crate::connection::Labelled;
use crate::cookie::Cookie;
use crate::desk::{Ask, Desk};
use crate::identity::Identity;
use crate::node;

/// The name of the subscription to events; there is one.
const SUBSCRIPTION: &str = "node";

/// The library's side. Dropping it ends all sessions, and what they stand for.
pub(crate) struct Server {
    server: ActorRef<NodeServerMessage>,
    desk: ActorRef<Ask>,
}

/// A session that both sides have authenticated.
pub(crate) struct Session {
    /// As it was handed in.
    pub(crate) label: String,
    /// The peer's name, as [`Identity`] writes it.
    pub(crate) peer: String,
    actor: ActorRef<NodeSessionMessage>,
}

impl Session {
    pub(crate) fn id(&self) -> ActorId {
        self.actor.get_id()
    }

    /// Ends it, if it has not ended.
    pub(crate) fn end(&self) {
        self.actor.stop(Some("ended by this side".to_owned()));
    }
}

impl Server {
    /// Starts both. What happens to sessions is told to `events`.
    pub(crate) async fn open(
        own: &Identity,
        cookie: &Cookie,
        clerk: Handle<clerk::Msg>,
        events: Handle<node::Msg>,
    ) -> Result<Self, Failure> {
        let desk = Desk::open(own, clerk).await?;
        let server = NodeServer::new(
            0,
            cookie.reveal(),
            own.name.clone(),
            // Two servers with the same host and port are taken for one and the same.
            own.life.clone(),
            None,
            Some(NodeConnectionMode::Isolated),
        )
        .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .with_max_inbound_frame_size(FRAME_BYTES_MAX);
        let server = match Actor::spawn(None, server, ()).await {
            Ok((server, _task)) => server,
            Err(error) => {
                desk.kill();
                return Err(error.into());
            }
        };
        let opened = Self { server, desk };
        let subscription = NodeServerMessage::SubscribeToEvents {
            id: SUBSCRIPTION.to_owned(),
            subscription: Box::new(Events(events)),
        };
        opened.server.send_message(subscription).map_err(|_| ended())?;
        Ok(opened)
    }

    /// Hands a connection in.
    pub(crate) fn adopt(&self, connection: Labelled, is_server: bool) -> Result<(), Failure> {
        let opened = NodeServerMessage::ConnectionOpenedExternal {
            stream: Box::new(connection),
            is_server,
        };
        self.server.send_message(opened).map_err(|_| ended())
    }

    /// Asks for the sessions that are authenticated now; nothing if there is no answer in time.
    pub(crate) fn sessions(&self, limit: Duration) -> impl Future<Output = Option<Vec<Session>>> + use<> {
        let server = self.server.clone();
        async move {
            let Ok(CallResult::Success(sessions)) =
                server.call(NodeServerMessage::GetSessions, Some(limit)).await
            else {
                return None;
            };
            Some(sessions.into_values().filter_map(session).collect())
        }
    }

    /// Waits until one of both has ended by itself, which neither should.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let (server, desk) = (self.server.get_cell(), self.desk.get_cell());
        async move {
            tokio::select! {
                _ = server.wait(None) => {}
                _ = desk.wait(None) => {}
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.server.kill();
        self.desk.kill();
    }
}

fn ended() -> Failure {
    Failure::new("the node server has ended")
}

fn session(session: NodeServerSessionInformation) -> Option<Session> {
    Some(Session {
        label: session.peer_addr,
        peer: session.peer_name?.name,
        actor: session.actor,
    })
}

/// Passes events on. What is not taken is seen at the next tick.
struct Events(Handle<node::Msg>);

impl NodeEventSubscription for Events {
    fn node_session_opened(&self, _: NodeServerSessionInformation) {}

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        self.0.try_tell(node::Msg::Disconnected(session.peer_addr)).ok();
    }

    fn node_session_authenticated(&self, _: NodeServerSessionInformation) {
        self.0.try_tell(node::Msg::Changed).ok();
    }

    fn node_session_ready(&self, _: NodeServerSessionInformation) {
        self.0.try_tell(node::Msg::Changed).ok();
    }
}
