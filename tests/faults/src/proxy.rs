//! The wire between an agent and its coordinator, with the faults of a network: an HTTP proxy on loopback.
//!
//! It forwards every request. One that was chosen by its route may be carried out and have its reply lost, or be
//! delivered again and again. Every kind of actor of the agent has routes of its own, so a route says whose request is hit.
//! The slots share theirs: what is meant for the shipper or the execution of one may hit that of another, which is
//! the same code with another run.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Repeated requests that may wait to be sent.
const REPEATS_MAX: usize = 16;
/// How long after the reply a request comes once more: what it was about is over by then.
const LATE: Duration = Duration::from_millis(300);

/// A group of requests that one actor of the agent makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Enrolling.
    Agents,
    /// Claiming.
    Claims,
    /// Renewing leases.
    Renew,
    /// Shipping logs.
    Log,
    /// Reporting ends.
    Finish,
    /// Uploading artifacts and fetching inputs.
    Blobs,
}

impl Route {
    const ALL: [Self; 6] = [
        Self::Agents,
        Self::Claims,
        Self::Renew,
        Self::Log,
        Self::Finish,
        Self::Blobs,
    ];

    /// Whether its requests are made when a run ends and something is to be told, handed over or begun, and not before.
    pub const fn is_for_ends(self) -> bool {
        match self {
            Self::Agents | Self::Renew => false,
            Self::Claims | Self::Log | Self::Finish | Self::Blobs => true,
        }
    }

    fn matches(self, path: &str) -> bool {
        match self {
            Self::Agents => path == "/v1/agents",
            Self::Claims => path == "/v1/claims",
            Self::Renew => path == "/v1/leases/renew",
            Self::Log => path == "/v1/leases/log",
            Self::Finish => path == "/v1/leases/finish",
            Self::Blobs => path.starts_with("/v1/blobs/"),
        }
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It is carried out, and the connection breaks before the reply.
    ReplyLost,
    /// It is delivered twice at nearly the same time, and once more when it has long been answered; the reply to the first
    /// arrives.
    Repeated,
}

/// A running proxy. Dropping it breaks all connections.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    wire: Arc<Wire>,
    _server: JoinSet<()>,
}

struct Wire {
    client: Client<HttpConnector, Full<Bytes>>,
    state: Mutex<State>,
    repeats: mpsc::Sender<Repeat>,
}

/// A request that is to be delivered again.
struct Repeat {
    request: Request<Full<Bytes>>,
    /// Its other end is dropped when the request itself is over.
    over: oneshot::Receiver<()>,
}

struct State {
    coordinator: SocketAddr,
    armed: Option<(Route, Mishap)>,
    n_struck: usize,
    /// How many requests have come by each route.
    counts: Vec<(Route, usize)>,
}

impl Proxy {
    /// Starts one that forwards to `coordinator`.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(coordinator: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (repeats, to_repeat) = mpsc::channel(REPEATS_MAX);
        let wire = Arc::new(Wire {
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build_http(),
            state: Mutex::new(State {
                coordinator,
                armed: None,
                n_struck: 0,
                counts: Route::ALL.map(|route| (route, 0)).into(),
            }),
            repeats,
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&wire), to_repeat));
        Ok(Self {
            address,
            wire,
            _server: server,
        })
    }

    /// Forwards to another coordinator from now on.
    pub fn redirect(&self, coordinator: SocketAddr) {
        self.wire.state().coordinator = coordinator;
    }

    /// Strikes the next request of a route, once.
    pub fn arm(&self, route: Route, mishap: Mishap) {
        self.wire.state().armed = Some((route, mishap));
    }

    /// How many requests have come by a route.
    pub fn n_requests(&self, route: Route) -> usize {
        let state = self.wire.state();
        let counted = state.counts.iter().find(|(counted, _)| *counted == route);
        counted.map_or(0, |(_, n)| *n)
    }

    /// How many requests were struck, to the end: the reply that is lost was made, and all copies were answered.
    pub fn n_struck(&self) -> usize {
        self.wire.state().n_struck
    }
}

async fn serve(listener: TcpListener, wire: Arc<Wire>, mut to_repeat: mpsc::Receiver<Repeat>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                open.spawn(serve_connection(stream, Arc::clone(&wire)));
            },
            Some(again) = to_repeat.recv() => {
                open.spawn(repeat(Arc::clone(&wire), again));
            }
            Some(_) = open.join_next(), if !open.is_empty() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, wire: Arc<Wire>) {
    let service = service_fn(|request| {
        let wire = Arc::clone(&wire);
        async move { forward(&wire, request).await }
    });
    // A connection that breaks is what this is for.
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}

/// Carries a request out. An error breaks the connection, so that the agent cannot know what became of it.
async fn forward(wire: &Wire, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mishap = wire.state().mishap(head.uri.path());
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = format!("http://{}{path}", wire.state().coordinator).parse::<Uri>()?;
    let request = Request::from_parts(head, Full::new(body));
    let (_ends_with_this, over) = oneshot::channel();
    if mishap == Some(Mishap::Repeated) {
        let request = request.clone();
        wire.repeats.send(Repeat { request, over }).await?;
    }
    let reply = send(&wire.client, request).await?;
    if mishap == Some(Mishap::ReplyLost) {
        wire.state().n_struck += 1;
        anyhow::bail!("the reply is lost");
    }
    Ok(reply)
}

/// Delivers a request two more times. It counts as struck if both were answered, whatever the answers say.
async fn repeat(wire: Arc<Wire>, Repeat { request, over }: Repeat) {
    let at_once = send(&wire.client, request.clone());
    let late = async {
        // Nothing is ever sent: it is over.
        over.await.ok();
        sleep(LATE).await;
        send(&wire.client, request).await
    };
    if let (Ok(_), Ok(_)) = tokio::join!(at_once, late) {
        wire.state().n_struck += 1;
    }
}

async fn send(
    client: &Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>> {
    let (head, body) = client.request(request).await?.into_parts();
    Ok(Response::from_parts(
        head,
        Full::new(body.collect().await?.to_bytes()),
    ))
}

impl Wire {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn mishap(&mut self, path: &str) -> Option<Mishap> {
        for (_, n) in self.counts.iter_mut().filter(|(route, _)| route.matches(path)) {
            *n += 1;
        }
        let (_, mishap) = self.armed.take_if(|(route, _)| route.matches(path))?;
        Some(mishap)
    }
}
