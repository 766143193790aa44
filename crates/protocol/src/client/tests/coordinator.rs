//! Coordinators that are well, gone, hung, cut off or not ready, as a client sees them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How a coordinator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers everything at once.
    Well,
    /// It is ready, and parks every other request.
    Parks,
    /// Nobody listens.
    Gone,
    /// Its machine is cut off: not even a connection comes about.
    CutOff,
    /// It is stopped: the kernel takes connections that nobody looks at.
    Stopped,
    /// It takes requests and never answers, not even whether it is ready.
    Hangs,
    /// It resets every connection.
    Resets,
    /// It takes a request and closes the connection.
    Closes,
    /// It breaks off in the middle of a reply.
    BreaksOff,
    /// It sends the beginning of a reply, and is silent then.
    FallsSilent,
    /// It says that it is not ready.
    NotReady,
}

/// A coordinator in a state that can be changed.
pub(super) struct Coordinator {
    pub(super) address: SocketAddr,
    health: watch::Sender<Health>,
    /// Requests but those whether it is ready.
    requests: Arc<AtomicUsize>,
    /// Questions whether it is ready.
    probes: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
    /// What fills the queue of one that is cut off.
    _queue: Vec<TcpStream>,
}

impl Coordinator {
    pub(super) async fn new(health: Health) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let (sender, heard) = watch::channel(health);
        let requests = Arc::new(AtomicUsize::new(0));
        let probes = Arc::new(AtomicUsize::new(0));
        let mut serving = JoinSet::new();
        let mut queue = Vec::new();
        match health {
            Health::Gone => drop(socket),
            Health::CutOff => {
                let listener = socket.listen(1).unwrap();
                // The kernel drops what comes once the queue of connections is full.
                while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await
                {
                    queue.push(stream.unwrap());
                }
                serving.spawn(keep(listener));
            }
            Health::Stopped => {
                let listener = socket.listen(128).unwrap();
                serving.spawn(keep(listener));
            }
            Health::Well
            | Health::Parks
            | Health::Hangs
            | Health::Resets
            | Health::Closes
            | Health::BreaksOff
            | Health::FallsSilent
            | Health::NotReady => {
                let listener = socket.listen(128).unwrap();
                serving.spawn(serve(
                    listener,
                    heard.clone(),
                    [&requests, &probes].map(Arc::clone),
                ));
            }
        }
        Self {
            address,
            health: sender,
            requests,
            probes,
            _serving: serving,
            _queue: queue,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came, but those whether it is ready.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// How often it was asked whether it is ready.
    pub(super) fn probes(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }

    /// Is like this from now on, also to who is waiting already.
    pub(super) fn becomes(&self, health: Health) {
        self.health.send_replace(health);
    }
}

async fn keep(listener: TcpListener) {
    std::future::pending::<()>().await;
    drop(listener);
}

async fn serve(listener: TcpListener, health: watch::Receiver<Health>, counts: [Arc<AtomicUsize>; 2]) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(connection(stream, health.clone(), counts.clone()));
    }
}

async fn connection(stream: TcpStream, mut health: watch::Receiver<Health>, counts: [Arc<AtomicUsize>; 2]) {
    let mut stream = BufReader::new(stream);
    while *health.borrow() != Health::Resets
        && let Some(path) = request(&mut stream).await
    {
        let is_probe = path == "/readyz";
        counts[usize::from(is_probe)].fetch_add(1, Ordering::SeqCst);
        let state = *health
            .wait_for(|health| match health {
                Health::Hangs | Health::Stopped | Health::CutOff | Health::Gone => false,
                Health::Parks => is_probe,
                Health::Well
                | Health::Resets
                | Health::Closes
                | Health::BreaksOff
                | Health::FallsSilent
                | Health::NotReady => true,
            })
            .await
            .unwrap();
        let (reply, goes_on) = match state {
            Health::Resets => break,
            Health::Closes => return,
            Health::BreaksOff => ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n\"hal", false),
            Health::FallsSilent if is_probe => return std::future::pending().await,
            Health::FallsSilent => ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n\"hal", true),
            Health::NotReady => ("HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n{}", true),
            _ => ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\"ok\"", true),
        };
        if stream.write_all(reply.as_bytes()).await.is_err() || !goes_on {
            return;
        }
    }
    // With no time to linger, what is closed is reset.
    stream.into_inner().set_zero_linger().unwrap();
}

/// Reads one request, and returns its path.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if !matches!(stream.read_line(&mut head).await, Ok(1..)) {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(head.split(' ').nth(1)?.to_owned())
}
