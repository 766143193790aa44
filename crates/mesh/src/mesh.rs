//! A mesh before it runs: what had to be read and opened, the way in for others ([`Link`]), and the child for the tree.
//!
//! It can never take its coordinator with it. Its supervisor gives up only after more restarts than its children can
//! need: each of them waits at least [`PACE`]`.base` before it starts again, and the intensity allows more than all of
//! them together at that rate. No child does in its start what can fail. What is left is a kill of the supervisor
//! itself, from outside and on purpose, and that has a pace, too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use supervision::{Backoff, ChildSpec, Handle, Intensity, Strategy, TreeSpec};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clerk::{self, Service};
use crate::config::{Config, ConfigError};
use crate::cookie::{Cookie, CookieError};
use crate::courier;
use crate::gate::{self, Gate};
use crate::link::Link;
use crate::node::{self, Node};
use crate::roster::{Sessions, Sight};
use crate::scout::{self, Scout};
use crate::tls::{Tls, TlsError};

/// The pace of the restarts of every actor of the mesh.
pub(crate) const PACE: Backoff = Backoff {
    base: Duration::from_millis(100),
    max: Duration::from_secs(5),
    reset_after: Duration::from_secs(30),
};
/// The pace of the supervisor's own restarts: it counts against the coordinator's, so it is slow.
const OWN_PACE: Backoff = Backoff {
    base: Duration::from_secs(5),
    max: Duration::from_secs(60),
    reset_after: Duration::from_secs(120),
};
/// More restarts within a minute than there can be.
const NEVER: Intensity = Intensity {
    max: 10_000,
    within: Duration::from_secs(60),
};
const CHILDREN: u128 = 5;

const _: () = assert!(
    CHILDREN * (NEVER.within.as_millis() / PACE.base.as_millis() + 1) < NEVER.max as u128,
    "the mesh could give up, and its coordinator with it"
);

/// A mesh that is ready to run.
pub struct Mesh {
    config: Config,
    process: u64,
    cookie: Cookie,
    tls: Option<Tls>,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    sessions: Arc<watch::Sender<Sessions>>,
    sights: Arc<watch::Sender<Vec<Sight>>>,
    lives: Arc<AtomicU64>,
    courier: Handle<courier::Msg>,
}

/// Why there is no mesh. A coordinator without one works; but whoever asked for one should hear this.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The configuration makes no sense, or is not safe.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cookie is of no use.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// The certificates are of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket cannot be opened.
    #[error("cannot listen for mesh peers on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's words.
        #[source]
        source: std::io::Error,
    },
}

impl Mesh {
    /// Reads the files and opens the socket. `process` is a random number that tells this process from those before it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn open(config: Config, process: u64) -> Result<Self, OpenError> {
        config.check()?;
        let cookie = Cookie::read(&config.cookie)?;
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        let listening = |source| OpenError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        Ok(Self {
            config,
            process,
            cookie,
            tls,
            listener: Arc::new(listener),
            address,
            sessions: Arc::new(watch::Sender::new(Sessions::default())),
            sights: Arc::new(watch::Sender::new(Vec::new())),
            lives: Arc::new(AtomicU64::new(1)),
            courier: Handle::new("courier", courier::MAILBOX),
        })
    }

    /// Where it listens for peers.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The way in. It works as soon as the child runs, and as long.
    pub fn link(&self) -> Link {
        Link::new(
            self.config.name.clone(),
            self.sessions.subscribe(),
            self.sights.subscribe(),
            self.courier.clone(),
        )
    }

    /// The child for the coordinator's tree. `service` is what the coordinator does for its peers.
    pub fn child(self, service: Arc<dyn Service>) -> ChildSpec {
        ChildSpec::supervisor("mesh", self.tree(service)).backoff(OWN_PACE)
    }

    fn tree(self, service: Arc<dyn Service>) -> TreeSpec {
        let clerk = Handle::new("clerk", clerk::MAILBOX);
        let node = Handle::new("node", node::MAILBOX);
        let (scout, gate) = (Handle::new("scout", 1), Handle::new("gate", 1));
        TreeSpec::new(Strategy::OneForOne, NEVER)
            .child(clerk::child_spec(&clerk, service))
            .child(node::child_spec(&node, {
                let (node, name, cookie) = (node.clone(), self.config.name.clone(), self.cookie.clone());
                let (process, lives, sessions) = (self.process, self.lives, Arc::clone(&self.sessions));
                move || Node {
                    name: name.clone(),
                    process,
                    lives: Arc::clone(&lives),
                    cookie: cookie.clone(),
                    clerk: clerk.clone(),
                    myself: node.clone(),
                    sessions: Arc::clone(&sessions),
                }
            }))
            .child(courier::child_spec(&self.courier, self.sessions.subscribe()))
            .child(scout::child_spec(&scout, {
                let (node, sights, tls) = (node.clone(), self.sights, self.tls.clone());
                let (peers, process, sessions) = (self.config.peers, self.process, self.sessions.subscribe());
                move || Scout {
                    peers: peers.clone(),
                    tls: tls.clone(),
                    process,
                    node: node.clone(),
                    sessions: sessions.clone(),
                    sights: Arc::clone(&sights),
                }
            }))
            .child(gate::child_spec(&gate, {
                let sessions = self.sessions.subscribe();
                move || Gate {
                    listener: Arc::clone(&self.listener),
                    tls: self.tls.clone(),
                    node: node.clone(),
                    sessions: sessions.clone(),
                }
            }))
    }
}
