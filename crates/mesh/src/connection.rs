//! One connection to a peer: a TCP socket, with TLS around it if there is any, and the means to end it for good.
//!
//! The library below reads and writes the stream, and when a session of it ends while the peer does not read, a task of
//! it would sit at the full socket for ever. So each connection comes with a [`Cut`], which whoever keeps the books
//! holds: when it is dropped, both directions are over, whatever is in the middle of what.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use socket2::{SockRef, Socket, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// When a silent connection is first probed by the kernel, and between probes.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long what was sent may stay unacknowledged before the kernel ends the connection. The liveness probe of `node` is
/// quicker; this is for what it does not see, such as a handshake.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// A connected stream.
pub(crate) enum Stream {
    /// Within this machine.
    Plain(TcpStream),
    /// Encrypted, both sides known.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Ends its connection when dropped.
pub(crate) struct Cut(Socket);

/// Prepares a socket: nothing waits to be sent in one piece, and a dead peer is noticed.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<Cut> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(Cut(socket.try_clone()?))
}

impl Drop for Cut {
    fn drop(&mut self) {
        // It fails if the peer was quicker, and then it is done.
        self.0.shutdown(Shutdown::Both).ok();
    }
}

/// A connection as the library takes it. The label is how its events name it.
pub(crate) struct Labelled {
    pub(crate) label: String,
    pub(crate) stream: Stream,
}

impl ClusterBidiStream for Labelled {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (reader, writer) = tokio::io::split(self.stream);
        (Box::new(reader), Box::new(writer))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}

/// Whether a peer that speaks from here may do so without TLS.
pub(crate) fn is_of_this_machine(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
