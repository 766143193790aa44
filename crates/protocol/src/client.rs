//! A typed HTTP client over hyper-util: small, fast to start, one pool of kept-alive connections.
//!
//! It knows several coordinators ([`roster`]), by addresses or by names ([`names`]), and stays with one of them until
//! that one cannot be reached, is silent ([`vigil`]) or not ready; then the request goes to another within a second, if
//! sending it twice does no harm ([`failover`]). It asks each coordinator once and then gives up: how long to wait before
//! asking all again is for whoever asks. Each call has a time limit and may be cancelled by dropping it.

mod body;
mod call;
mod error;
mod failover;
mod names;
mod reply;
mod roster;
mod target;
#[cfg(test)]
mod tests;
mod vigil;

use std::collections::hash_map::RandomState;
use std::future;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

pub use self::body::Upload;
pub use self::call::Options;
pub use self::error::{BadUrl, ClientError};
pub use self::reply::{Reply, read_bytes};

use self::call::Call;
use self::names::Names;
use self::roster::Roster;
use self::target::{Base, Peer};

/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an ordinary request may take, from connecting to the last byte of the reply.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest reply that is read into memory.
pub const REPLY_BYTES_MAX: usize = 64 << 20;
/// URLs of one client.
pub const URLS_MAX: usize = 64;
/// Idle connections that are kept to one coordinator.
const IDLE_CONNECTIONS_MAX: usize = 8;
/// Silence after which the other side's machine is asked whether it is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// Time between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Questions without an answer after which a connection is dead.
const KEEPALIVE_RETRIES: u32 = 3;
/// How long what was sent may be without a word of the other side's machine that it arrived.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);

/// A client of one pool of coordinators. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    bases: Vec<Arc<Base>>,
    /// One lock and no actor: it is held for a few comparisons, never across an await.
    roster: Mutex<Roster>,
    names: Names,
    authorization: HeaderValue,
    pool: Pool<HttpConnector, Upload>,
    /// Connections of their own for asking whether somebody is there.
    probes: Pool<HttpConnector, Upload>,
}

impl Client {
    /// A client for coordinators at these base URLs, each one or several with commas, with a bearer token. A URL with a
    /// host name stands for all addresses of that name. The one that is asked first is chosen by chance.
    ///
    /// # Errors
    /// No URL is given, or too many, or one is not `http://host[:port]`.
    pub fn new(urls: impl IntoIterator<Item = impl AsRef<str>>, token: &str) -> Result<Self, BadUrl> {
        // The hasher's keys are the standard library's source of chance.
        Self::with_seed(urls, token, RandomState::new().hash_one(0))
    }

    /// The same, with a choice that can be repeated.
    ///
    /// # Errors
    /// See [`Client::new`].
    pub fn with_seed(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
        token: &str,
        seed: u64,
    ) -> Result<Self, BadUrl> {
        let bases = bases(urls)?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| BadUrl("the token".to_owned()))?;
        authorization.set_sensitive(true);
        let shared = Shared {
            roster: Mutex::new(Roster::new(&bases, seed)),
            names: Names::of(&bases),
            bases,
            authorization,
            pool: pool(IDLE_CONNECTIONS_MAX),
            probes: pool(1),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The coordinator that requests go to now; all of them, while none was chosen.
    pub fn url(&self) -> String {
        let current = self.roster().current().map(|peer| peer.name());
        current.unwrap_or_else(|| self.urls().join(","))
    }

    /// The base URLs of all coordinators, as they were given.
    pub fn urls(&self) -> Vec<&str> {
        self.shared.bases.iter().map(|base| base.text.as_str()).collect()
    }

    /// Gets a JSON view.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<R: DeserializeOwned>(&self, path: &str, options: Options) -> Result<R, ClientError> {
        let call = Call::get(path, options);
        self.ask(call, Reply::json).await
    }

    /// Posts JSON and reads JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post<R: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        options: Options,
    ) -> Result<R, ClientError> {
        let bytes = serde_json::to_vec(body).map_err(|error| ClientError::BadReply(error.to_string()))?;
        self.post_bytes(path, bytes.into(), options).await
    }

    /// Posts a body that is JSON already, or raw bytes when a header says so, and reads JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post_bytes<R: DeserializeOwned>(
        &self,
        path: &str,
        body: Bytes,
        mut options: Options,
    ) -> Result<R, ClientError> {
        let json = HeaderValue::from_static("application/json");
        options.headers.entry(CONTENT_TYPE).or_insert(json);
        let call = Call {
            method: Method::POST,
            body: Some(Upload::bytes(body)),
            ..Call::get(path, options)
        };
        self.ask(call, Reply::json).await
    }

    /// Puts a body and ignores what the reply says beside its status.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put(&self, path: &str, body: Upload, options: Options) -> Result<(), ClientError> {
        let call = Call {
            method: Method::PUT,
            body: Some(body),
            ..Call::get(path, options)
        };
        self.ask(call, Reply::bytes).await.map(drop)
    }

    /// Asks whether something is there.
    ///
    /// # Errors
    /// See [`ClientError`]; a 404 is `Ok(None)`.
    pub async fn head(&self, path: &str) -> Result<Option<HeaderMap>, ClientError> {
        let call = Call {
            method: Method::HEAD,
            ..Call::get(path, Options::default())
        };
        match self.ask(call, leave_body).await {
            Ok(reply) => Ok(Some(reply.headers().clone())),
            Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gets a reply whose body is read piece by piece. The time limit covers the head only.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn stream(
        &self,
        path: &str,
        accept: &'static str,
        mut options: Options,
    ) -> Result<Reply, ClientError> {
        options.headers.insert(ACCEPT, HeaderValue::from_static(accept));
        self.ask(Call::get(path, options), leave_body).await
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.shared.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is one coordinator, and never will be another.
    fn is_alone(&self) -> bool {
        self.shared.names.is_empty() && self.roster().len() < 2
    }

    fn has_better_than(&self, peer: &Arc<Peer>) -> bool {
        self.roster()
            .good(std::slice::from_ref(peer), Instant::now())
            .is_some()
    }
}

/// Leaves the body to the caller.
fn leave_body(reply: Reply) -> future::Ready<Result<Reply, ClientError>> {
    future::ready(Ok(reply))
}

/// Whether a status says that this coordinator cannot help now, though another may.
const fn is_elsewhere(status: u16) -> bool {
    matches!(status, 502..=504)
}

fn bases(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Vec<Arc<Base>>, BadUrl> {
    let mut bases: Vec<Arc<Base>> = Vec::new();
    for list in urls {
        let list = list.as_ref();
        let urls = list.split(',').map(str::trim).filter(|url| !url.is_empty());
        for url in urls {
            let base = Base::parse(url)?;
            if !bases.iter().any(|known| known.text == base.text) {
                bases.push(Arc::new(base));
            }
        }
    }
    match bases.len() {
        0 => Err(BadUrl(String::new())),
        1..=URLS_MAX => Ok(bases),
        _ => Err(BadUrl(format!("a list of more than {URLS_MAX} URLs"))),
    }
}

fn pool(idle_max: usize) -> Pool<HttpConnector, Upload> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(KEEPALIVE_AFTER));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
    Pool::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(idle_max)
        .build(connector)
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
