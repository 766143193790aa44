//! A TCP proxy on loopback that misbehaves on demand: what a network may do between a client and a server.
//!
//! One thread with its own runtime forwards bytes for all connections. What it does to them is set from outside at any
//! moment: to what flows in each direction ([`Flow`]), to who comes in ([`Door`]), and to single requests
//! ([`Proxy::cut_after_next_request`]).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Port;
use crate::wait::{LIMIT, within};

mod pump;

use self::pump::carry;

/// The pause before a listener that could not be made is tried again.
const PAUSE: Duration = Duration::from_millis(5);

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// They arrive.
    #[default]
    Pass,
    /// They arrive so much later, in order.
    Delay(Duration),
    /// They wait until it is something else: a partition that heals, for which TCP makes up.
    Hold,
    /// They vanish. A connection that lost some breaks as soon as others would pass again.
    Drop,
}

/// What happens to those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Door {
    /// They are connected to the server.
    #[default]
    Open,
    /// They are accepted, and that was all, until [`Proxy::cut_all`].
    HalfOpen,
    /// Nobody listens: they are refused.
    Refuse,
}

/// A direction of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// A running proxy. All methods may be called from any thread. Dropping it breaks all connections.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    faults: Option<watch::Sender<Faults>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What is to be done at the moment.
#[derive(Debug, Clone, Copy)]
struct Faults {
    target: SocketAddr,
    to_server: Flow,
    to_client: Flow,
    door: Door,
    /// Connections that began with another number break.
    generation: u64,
}

/// What the connections tell.
#[derive(Debug, Default)]
struct Shared {
    /// What a request must contain to lose its reply. A mutex: whoever matches first takes it.
    cut: Mutex<Option<Vec<u8>>>,
    /// Requests whose reply was lost.
    n_cut: AtomicUsize,
    /// Whether there is a listener now.
    n_listeners: AtomicUsize,
    /// Connections that are open now.
    n_open: AtomicUsize,
    /// Connections that were ever accepted.
    n_accepted: AtomicUsize,
}

impl Proxy {
    /// Starts one that forwards to `target`, and waits until it listens.
    ///
    /// # Errors
    /// There is no port, or the thread cannot be started.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let port = Port::reserve()?;
        let (faults, seen) = watch::channel(Faults {
            target,
            to_server: Flow::Pass,
            to_client: Flow::Pass,
            door: Door::Open,
            generation: 0,
        });
        let shared = Arc::new(Shared::default());
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (addr, theirs) = (port.addr(), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(serve(addr, seen, theirs)))
            .context("start the thread of a proxy")?;
        let proxy = Self {
            port,
            faults: Some(faults),
            shared,
            thread: Some(thread),
        };
        proxy.wait_for_door()?;
        Ok(proxy)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// From now on this happens to bytes in one direction, also those of connections that exist.
    pub fn set(&self, direction: Direction, flow: Flow) {
        self.change(|faults| match direction {
            Direction::ToServer => faults.to_server = flow,
            Direction::ToClient => faults.to_client = flow,
        });
    }

    /// From now on this happens to bytes in both directions.
    pub fn set_both(&self, flow: Flow) {
        self.change(|faults| (faults.to_server, faults.to_client) = (flow, flow));
    }

    /// From now on this happens to those who connect. Waits until it does.
    ///
    /// # Errors
    /// The port is somebody else's now.
    pub fn set_door(&self, door: Door) -> Result<()> {
        self.change(|faults| faults.door = door);
        self.wait_for_door()
    }

    /// Everything passes again, and an armed cut is disarmed.
    ///
    /// # Errors
    /// The port is somebody else's now.
    pub fn heal(&self) -> Result<()> {
        *self.shared.cut() = None;
        self.set_both(Flow::Pass);
        self.set_door(Door::Open)
    }

    /// Connections from now on go to another server; those that exist stay with theirs.
    pub fn retarget(&self, target: SocketAddr) {
        self.change(|faults| faults.target = target);
    }

    /// Breaks all connections that exist, the half-open ones included.
    pub fn cut_all(&self) {
        self.change(|faults| faults.generation += 1);
    }

    /// The next request that contains `needle` (empty: any) reaches the server, which carries it out; the connection breaks
    /// when its reply arrives here, so the client never learns of it. A needle must fit into one segment, e.g. `EVALSHA`.
    pub fn cut_after_next_request(&self, needle: &[u8]) {
        *self.shared.cut() = Some(needle.to_vec());
    }

    /// How many requests have lost their reply so far.
    pub fn n_cut(&self) -> usize {
        self.shared.n_cut.load(Ordering::Acquire)
    }

    /// How many connections are open now.
    pub fn n_open(&self) -> usize {
        self.shared.n_open.load(Ordering::Acquire)
    }

    /// How many connections were accepted so far.
    pub fn n_accepted(&self) -> usize {
        self.shared.n_accepted.load(Ordering::Acquire)
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        if let Some(faults) = &self.faults {
            faults.send_modify(change);
        }
    }

    fn wait_for_door(&self) -> Result<()> {
        let door = self.faults.as_ref().map(|faults| faults.borrow().door);
        let n_wanted = usize::from(door != Some(Door::Refuse));
        within("the proxy opens or closes its door", LIMIT, || {
            Ok((self.shared.n_listeners.load(Ordering::Acquire) == n_wanted).then_some(()))
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.faults = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; the test sees broken connections.
            thread.join().ok();
        }
    }
}

impl Shared {
    fn cut(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the door and all connections until the proxy is dropped.
async fn serve(addr: SocketAddr, mut faults: watch::Receiver<Faults>, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    let mut listener = None;
    loop {
        let door = faults.borrow_and_update().door;
        listener = match (door, listener) {
            (Door::Refuse, _) => None,
            (Door::Open | Door::HalfOpen, None) => TcpListener::bind(addr).await.ok(),
            (Door::Open | Door::HalfOpen, there) => there,
        };
        shared
            .n_listeners
            .store(usize::from(listener.is_some()), Ordering::Release);
        tokio::select! {
            changed = faults.changed() => if changed.is_err() {
                return;
            },
            Some(client) = accept(listener.as_ref()) => {
                shared.n_accepted.fetch_add(1, Ordering::AcqRel);
                open.spawn(connect(client, faults.clone(), Arc::clone(&shared)));
            },
            Some(_) = open.join_next(), if !open.is_empty() => {}
            () = sleep(PAUSE), if listener.is_none() && door != Door::Refuse => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// One connection, from its acceptance to its end.
async fn connect(client: TcpStream, faults: watch::Receiver<Faults>, shared: Arc<Shared>) {
    shared.n_open.fetch_add(1, Ordering::AcqRel);
    let Faults {
        door,
        target,
        generation,
        ..
    } = *faults.borrow();
    let mut until = faults.clone();
    let broken = until.wait_for(|faults| faults.generation != generation);
    let forwarded = async {
        match door {
            Door::Open => carry(client, target, faults, &shared).await,
            Door::HalfOpen | Door::Refuse => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = broken => {}
        () = forwarded => {}
    }
    shared.n_open.fetch_sub(1, Ordering::AcqRel);
}

#[cfg(test)]
mod tests;
