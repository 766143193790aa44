//! From a socket to a peer that is known: TLS if there is any, then both greetings, all within [`HANDSHAKE_MAX`].
//!
//! It runs beside the actors, one task for each connection, so that one that stalls keeps nobody waiting.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use crate::config::{ConfigError, PeerAddress, stay_on_loopback};
use crate::connection::{Cut, Stream, is_of_this_machine, tune};
use crate::greeting::{GREETING_MAX, GreetError, answer, go_on, greet};
use crate::identity::Identity;
use crate::tls::{self, Tls};

/// How long TLS and the greetings may take.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// How long a look-up of a name, and a connect, may take, each.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// A connection to a peer that has said who it is.
pub(crate) struct Greeted {
    pub(crate) peer: Identity,
    pub(crate) stream: Stream,
    pub(crate) cut: Cut,
}

/// Why there is no connection. Each text fits behind the name of the peer and a colon.
#[derive(Debug, Error)]
pub(crate) enum HandshakeError {
    /// The name means nothing now.
    #[error("its name cannot be looked up: {0}")]
    Unknown(io::Error),
    /// Nobody listens, or no way leads there.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// One of the two sides has no TLS and is elsewhere.
    #[error(transparent)]
    Exposed(#[from] ConfigError),
    /// TLS failed: another authority, an expired certificate, no TLS at the other side.
    #[error("no TLS with it: {0}")]
    Tls(io::Error),
    /// Its certificate is good, but not a coordinator's.
    #[error("its certificate is not for the name `{name}`", name = tls::TLS_NAME)]
    OtherName,
    /// The greetings failed.
    #[error(transparent)]
    Greet(#[from] GreetError),
    /// It said nothing, or too slowly.
    #[error("it does not answer")]
    Late,
}

/// Whom a dialled address belongs to, and a connection to it if one is wanted.
pub(crate) struct Dialled {
    pub(crate) peer: Identity,
    pub(crate) connection: Option<Greeted>,
}

/// Connects to an address. `is_wanted` decides, once it is known who is there, whether the connection is kept.
pub(crate) async fn dial(
    address: PeerAddress,
    tls: Option<Tls>,
    own: Identity,
    is_wanted: impl FnOnce(&Identity) -> bool,
) -> Result<Dialled, HandshakeError> {
    let stream = connect(&address, tls.is_none()).await?;
    let cut = tune(&stream).map_err(HandshakeError::Connect)?;
    let shake_hands = async {
        let mut stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let stream = tls.connector.connect(tls::name(), stream).await;
                Stream::Tls(Box::new(TlsStream::Client(stream.map_err(HandshakeError::Tls)?)))
            }
        };
        let peer = timeout(GREETING_MAX, greet(&mut stream, &own))
            .await
            .map_err(|_late| HandshakeError::Late)??;
        if !is_wanted(&peer) {
            return Ok(Dialled {
                peer,
                connection: None,
            });
        }
        go_on(&mut stream).await?;
        let connection = Some(Greeted {
            peer: peer.clone(),
            stream,
            cut,
        });
        Ok(Dialled { peer, connection })
    };
    timeout(HANDSHAKE_MAX, shake_hands)
        .await
        .unwrap_or(Err(HandshakeError::Late))
}

/// Takes a connection that came in.
pub(crate) async fn receive(
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Tls>,
    own: Identity,
) -> Result<Greeted, HandshakeError> {
    let cut = tune(&stream).map_err(HandshakeError::Connect)?;
    let shake_hands = async {
        let mut stream = match tls {
            // The listener is on a loopback address then, but it costs nothing to be sure.
            None if !is_of_this_machine(from) => {
                stay_on_loopback(from.ip(), &from).map(|()| Stream::Plain(stream))?
            }
            None => Stream::Plain(stream),
            Some(tls) => {
                let stream = tls.acceptor.accept(stream).await.map_err(HandshakeError::Tls)?;
                let certificates = stream.get_ref().1.peer_certificates();
                if !certificates.is_some_and(|chain| chain.first().is_some_and(tls::is_of_the_mesh)) {
                    return Err(HandshakeError::OtherName);
                }
                Stream::Tls(Box::new(TlsStream::Server(stream)))
            }
        };
        let peer = timeout(GREETING_MAX, answer(&mut stream, &own))
            .await
            .map_err(|_late| HandshakeError::Late)??;
        Ok(Greeted { peer, stream, cut })
    };
    timeout(HANDSHAKE_MAX, shake_hands)
        .await
        .unwrap_or(Err(HandshakeError::Late))
}

/// Connects to the first address of a host that answers.
async fn connect(address: &PeerAddress, loopback_only: bool) -> Result<TcpStream, HandshakeError> {
    let late = |_late| io::Error::from(io::ErrorKind::TimedOut);
    let found = timeout(CONNECT_MAX, lookup_host((address.host.as_str(), address.port))).await;
    let found = found.map_err(late).flatten().map_err(HandshakeError::Unknown)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for socket in found {
        if loopback_only {
            stay_on_loopback(socket.ip(), address)?;
        }
        match timeout(CONNECT_MAX, TcpStream::connect(socket))
            .await
            .map_err(late)
            .flatten()
        {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(HandshakeError::Connect(last))
}
