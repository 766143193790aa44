//! A typed HTTP client over hyper-util: small, fast to start, one pool of kept-alive connections.
//!
//! It knows several coordinators and sticks to one until that one cannot be reached; then the next request goes to the
//! next. It never retries by itself: whoever asks knows whether asking again is safe (everything under `/v1/leases`
//! and every create with an `Idempotency-Key` is). Each call has a time limit and may be cancelled by dropping it.

mod body;
mod error;
#[cfg(test)]
mod tests;

use std::future::{self, Future};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::body::Upload;
pub use self::error::{BadUrl, ClientError};

use crate::problem::Problem;

/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an ordinary request may take, from connecting to the last byte of the reply.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest reply that is read into memory.
pub const REPLY_BYTES_MAX: usize = 64 << 20;
/// Idle connections that are kept to one coordinator.
const IDLE_CONNECTIONS_MAX: usize = 8;
/// Silence after which the other side's machine is asked whether it is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// Time between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Questions without an answer after which a connection is dead.
const KEEPALIVE_RETRIES: u32 = 3;

/// A client of one pool of coordinators. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    urls: Vec<String>,
    current: AtomicUsize,
    authorization: HeaderValue,
    pool: Pool<HttpConnector, Upload>,
}

/// What a request carries beside its path.
#[derive(Default)]
pub struct Options {
    /// Further headers.
    pub headers: HeaderMap,
    /// Time limit; [`REQUEST_TIMEOUT`] when absent.
    pub timeout: Option<Duration>,
}

impl Options {
    /// One header.
    ///
    /// # Panics
    /// The value has bytes that a header cannot carry; callers pass tokens and keys that were checked.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("header values are visible ASCII");
        self.headers.insert(name, value);
        self
    }

    /// A time limit of its own, for requests that are parked.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
}

/// A request before it is known which coordinator gets it.
struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Upload,
    options: Options,
}

impl<'a> Call<'a> {
    fn get(path: &'a str, options: Options) -> Self {
        Self {
            method: Method::GET,
            path,
            body: Upload::empty(),
            options,
        }
    }
}

impl Client {
    /// A client for coordinators at these base URLs, with a bearer token.
    ///
    /// # Errors
    /// No URL is given, or one is not `http://host[:port]`.
    pub fn new(urls: impl IntoIterator<Item = impl Into<String>>, token: &str) -> Result<Self, BadUrl> {
        let urls = urls
            .into_iter()
            .map(|url| base_url(&url.into()))
            .collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(BadUrl(String::new()));
        }
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| BadUrl("the token".to_owned()))?;
        authorization.set_sensitive(true);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector());
        let shared = Shared {
            urls,
            current: AtomicUsize::new(0),
            authorization,
            pool,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The coordinator that requests go to now.
    pub fn url(&self) -> &str {
        let urls = &self.shared.urls;
        let index = self.shared.current.load(Ordering::Relaxed) % urls.len();
        urls.get(index).map_or("", String::as_str)
    }

    /// Gets a JSON view.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<R: DeserializeOwned>(&self, path: &str, options: Options) -> Result<R, ClientError> {
        let call = Call::get(path, options);
        self.ask(call, read_json).await
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
            body: Upload::bytes(body),
            ..Call::get(path, options)
        };
        self.ask(call, read_json).await
    }

    /// Puts a body and ignores what the reply says beside its status.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put(&self, path: &str, body: Upload, options: Options) -> Result<(), ClientError> {
        let call = Call {
            method: Method::PUT,
            body,
            ..Call::get(path, options)
        };
        self.ask(call, read_bytes).await.map(drop)
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
        match self.ask(call, read_nothing).await {
            Ok(response) => Ok(Some(response.headers().clone())),
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
    ) -> Result<Response<Incoming>, ClientError> {
        options.headers.insert(ACCEPT, HeaderValue::from_static(accept));
        self.ask(Call::get(path, options), read_nothing).await
    }

    /// Sends a request and has `read` read its reply, all within the limit.
    async fn ask<T, F>(
        &self,
        call: Call<'_>,
        read: impl FnOnce(Response<Incoming>) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let Call {
            method,
            path,
            body,
            options,
        } = call;
        let index = self.shared.current.load(Ordering::Relaxed);
        let url = self.url().to_owned();
        let head_only = method == Method::HEAD;
        let mut request = Request::builder().method(method).uri(format!("{url}{path}"));
        if let Some(headers) = request.headers_mut() {
            *headers = options.headers;
            headers.insert(AUTHORIZATION, self.shared.authorization.clone());
        }
        let request = request
            .body(body)
            .map_err(|error| ClientError::BadReply(error.to_string()))?;
        let limit = options.timeout.unwrap_or(REQUEST_TIMEOUT);
        let exchange = async {
            let sent = self.shared.pool.request(request).await;
            let response = sent.map_err(|error| ClientError::Unreachable {
                url: url.clone(),
                why: innermost(&error),
            })?;
            read(accepted(response, head_only).await?).await
        };
        let answer = tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
            Err(ClientError::TimedOut {
                url: url.clone(),
                limit,
            })
        });
        if let Err(ClientError::Unreachable { .. } | ClientError::TimedOut { .. }) = &answer {
            self.give_up_on(index);
        }
        answer
    }

    /// Makes the next coordinator current, unless somebody else has done so meanwhile.
    fn give_up_on(&self, index: usize) {
        let next = index.wrapping_add(1);
        match self
            .shared
            .current
            .compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) | Err(_) => {}
        }
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(KEEPALIVE_AFTER));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    connector
}

/// Leaves the body to the caller.
fn read_nothing(
    response: Response<Incoming>,
) -> impl Future<Output = Result<Response<Incoming>, ClientError>> {
    future::ready(Ok(response))
}

/// Reads a whole body, up to [`REPLY_BYTES_MAX`].
///
/// # Errors
/// The body breaks off or is too large.
pub async fn read_bytes(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let limited = http_body_util::Limited::new(response.into_body(), REPLY_BYTES_MAX);
    let body = limited
        .collect()
        .await
        .map_err(|error| ClientError::BadReply(error.to_string()))?;
    Ok(body.to_bytes())
}

async fn read_json<R: DeserializeOwned>(response: Response<Incoming>) -> Result<R, ClientError> {
    if response.status() == StatusCode::NOT_MODIFIED {
        return Err(ClientError::NotModified);
    }
    let bytes = read_bytes(response).await?;
    serde_json::from_slice(&bytes).map_err(|error| ClientError::BadReply(error.to_string()))
}

async fn accepted(response: Response<Incoming>, head_only: bool) -> Result<Response<Incoming>, ClientError> {
    let status = response.status();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    let bytes = if head_only {
        Bytes::new()
    } else {
        read_bytes(response).await?
    };
    let problem = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
        let said =
            String::from_utf8_lossy(bytes.get(..200.min(bytes.len())).unwrap_or_default()).into_owned();
        Problem::new(status.as_u16(), "not_a_coordinator", format!("{status}: {said}"))
    });
    Err(ClientError::Problem(Box::new(problem)))
}

fn base_url(text: &str) -> Result<String, BadUrl> {
    let trimmed = text.trim_end_matches('/');
    let uri: http::Uri = trimmed.parse().map_err(|_| BadUrl(text.to_owned()))?;
    let plain = uri.scheme_str() == Some("http") && uri.host().is_some() && uri.query().is_none();
    if plain {
        Ok(trimmed.to_owned())
    } else {
        Err(BadUrl(text.to_owned()))
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
