//! The mesh: the advisory link between coordinators. What it carries is small, may be lost, and nobody waits for it.
//!
//! Three things go over it: what each coordinator observes, for the observer of the whole cluster; hints that something
//! may have changed, so that who waits elsewhere looks at once; and drills. All of it goes from one actor of a process
//! to the one of another ([`desk`]), by `ractor_cluster`, which only this package names.
//!
//! That library does not know when a peer hangs, and opens its doors wider than is good. So this package makes the
//! connections itself (`gate`, `scout`: mutual TLS, limits on everything), hands them in, and probes each peer every
//! second (`node`). Agents are never peers.
//!
//! ```text
//! coordinator -> Link -> courier ---- hints ---> desk -> clerk -> Service (the other coordinator)
//!                    \-- questions, drills ----> desk -> clerk -> Service
//! ```

mod answer;
mod clerk;
mod config;
mod connection;
mod cookie;
mod courier;
mod desk;
mod gate;
mod greeting;
mod handshake;
mod identity;
mod link;
mod links;
mod mesh;
mod node;
mod roster;
mod scout;
mod server;
mod tls;

pub use answer::{ANSWER_BYTES_MAX, QUESTION_BYTES_MAX};
pub use clerk::{Answering, Service};
pub use config::{Config, ConfigError, NAME_BYTES_MAX, PEERS_MAX, PeerAddress, Peers, TlsFiles};
pub use cookie::{COOKIE_BYTES_MIN, CookieError};
pub use courier::HINT_BYTES_MAX;
pub use link::{DrillError, Heard, Link, Silence};
pub use mesh::{Mesh, OpenError};
pub use node::BEAT_MAX;
pub use roster::{Peer, Reach};
pub use tls::{TLS_NAME, TlsError};
