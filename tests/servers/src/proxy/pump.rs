//! The two directions of one connection of a proxy.
//!
//! Each has a reader, which stamps what it read with the moment when it is due, and a writer, which waits for that moment
//! and for leave: so a delay adds to the latency and takes nothing from the throughput.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Direction, Faults, Flow, Shared};

/// The most that is read at a time, in bytes.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Chunks that may be on their way in one direction.
const CHUNKS_MAX: usize = 256;

/// Bytes on their way; none of them say that there will be no more.
struct Chunk {
    bytes: Vec<u8>,
    due: Instant,
}

/// What both directions of a connection know.
struct Link<'a> {
    faults: watch::Receiver<Faults>,
    shared: &'a Shared,
    /// The next reply is not to arrive.
    is_marked: AtomicBool,
}

/// Carries bytes both ways until both sides have ended, or one of them breaks. A server that is not there breaks it too.
pub(super) async fn carry(
    client: TcpStream,
    target: SocketAddr,
    faults: watch::Receiver<Faults>,
    shared: &Shared,
) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let link = Link {
        faults,
        shared,
        is_marked: AtomicBool::new(false),
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = pump(&link, Direction::ToServer, from_client, to_server);
    let back = pump(&link, Direction::ToClient, from_server, to_client);
    // Either direction breaks both.
    tokio::try_join!(there, back).ok();
}

/// The connection is to break.
struct Broken;

async fn pump(
    link: &Link<'_>,
    direction: Direction,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
) -> Result<(), Broken> {
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    let reading = read(link, direction, from, sender);
    let writing = write(link, direction, to, chunks);
    tokio::try_join!(reading, writing).map(|((), ())| ())
}

async fn read(
    link: &Link<'_>,
    direction: Direction,
    mut from: OwnedReadHalf,
    chunks: mpsc::Sender<Chunk>,
) -> Result<(), Broken> {
    let mut buffer = vec![0; CHUNK_BYTES_MAX];
    let mut has_lost = false;
    loop {
        let n = from.read(&mut buffer).await.map_err(|_| Broken)?;
        let bytes = buffer[..n].to_vec();
        let due = match link.flow(direction) {
            Flow::Drop => {
                has_lost = true;
                None
            }
            Flow::Pass | Flow::Hold => Some(Instant::now()),
            Flow::Delay(duration) => Some(Instant::now() + duration),
        };
        if let Some(due) = due {
            if has_lost {
                return Err(Broken);
            }
            chunks.send(Chunk { bytes, due }).await.map_err(|_| Broken)?;
        }
        if n == 0 {
            return Ok(());
        }
    }
}

async fn write(
    link: &Link<'_>,
    direction: Direction,
    mut to: OwnedWriteHalf,
    mut chunks: mpsc::Receiver<Chunk>,
) -> Result<(), Broken> {
    while let Some(Chunk { bytes, due }) = chunks.recv().await {
        sleep_until(due).await;
        let mut faults = link.faults.clone();
        let leave = faults
            .wait_for(|faults| faults.flow(direction) != Flow::Hold)
            .await;
        // What was held when bytes began to vanish vanishes with them, and the connection cannot go on without it.
        if leave.map_err(|_| Broken)?.flow(direction) == Flow::Drop {
            wait_for_the_end_of_drop(link, direction).await;
            return Err(Broken);
        }
        match direction {
            Direction::ToServer => link.mark(&bytes),
            Direction::ToClient => link.break_if_marked()?,
        }
        if bytes.is_empty() {
            return to.shutdown().await.map_err(|_| Broken);
        }
        to.write_all(&bytes).await.map_err(|_| Broken)?;
    }
    // The reader has ended without an end of its stream: what it read vanished.
    wait_for_the_end_of_drop(link, direction).await;
    Err(Broken)
}

async fn wait_for_the_end_of_drop(link: &Link<'_>, direction: Direction) {
    let mut faults = link.faults.clone();
    // An error says that the proxy ends, and so does the connection.
    faults
        .wait_for(|faults| faults.flow(direction) != Flow::Drop)
        .await
        .ok();
}

impl Faults {
    fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }
}

impl Link<'_> {
    fn flow(&self, direction: Direction) -> Flow {
        self.faults.borrow().flow(direction)
    }

    /// Takes the order to cut if this request is the one that it is for.
    fn mark(&self, request: &[u8]) {
        let is_it = |needle: &mut Vec<u8>| {
            !request.is_empty()
                && (needle.is_empty()
                    || request
                        .windows(needle.len())
                        .any(|window| window == needle.as_slice()))
        };
        if self.shared.cut().take_if(is_it).is_some() {
            self.is_marked.store(true, Ordering::Release);
        }
    }

    fn break_if_marked(&self) -> Result<(), Broken> {
        if self.is_marked.load(Ordering::Acquire) {
            self.shared.n_cut.fetch_add(1, Ordering::AcqRel);
            return Err(Broken);
        }
        Ok(())
    }
}
