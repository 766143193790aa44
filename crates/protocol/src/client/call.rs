//! A request before it is known which coordinator gets it, and what is asked of its way.

use std::time::Duration;

use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request};

use super::REQUEST_TIMEOUT;
use super::body::Upload;
use super::error::ClientError;
use super::target::Peer;

/// The header that makes a create repeatable.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a request carries beside its path.
#[derive(Default)]
pub struct Options {
    /// Further headers.
    pub headers: HeaderMap,
    /// Time limit over all coordinators that are asked; [`REQUEST_TIMEOUT`] when absent.
    pub timeout: Option<Duration>,
    /// Another coordinator is asked too when there is no answer after so long. For what may be repeated.
    pub hedge_after: Option<Duration>,
    /// How long the coordinator that has it may be silent before it is asked whether it is there; the shortest time that
    /// there is when absent.
    pub watched_every: Option<Duration>,
    /// It does no harm if two coordinators carry it out. Reading and putting do none, nor does a create that has an
    /// `Idempotency-Key`.
    pub repeatable: bool,
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

    /// The coordinator that has it is watched no more often than that: for what is parked with thousands of others. A
    /// connection that breaks is noticed at once all the same.
    #[must_use]
    pub const fn watched_every(mut self, pause: Duration) -> Self {
        self.watched_every = Some(pause);
        self
    }

    /// It may be carried out twice.
    #[must_use]
    pub const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// It may be carried out twice, and is sent to another coordinator too when there is no answer after so long: for
    /// what must not hang on a coordinator that lives and has lost its nexus.
    #[must_use]
    pub const fn hedge_after(mut self, pause: Duration) -> Self {
        self.hedge_after = Some(pause);
        self.repeatable()
    }
}

/// See the module.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<Upload>,
    pub(super) options: Options,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a str, options: Options) -> Self {
        Self {
            method: Method::GET,
            path,
            body: Some(Upload::empty()),
            options,
        }
    }

    /// The time limit.
    pub(super) fn limit(&self) -> Duration {
        self.options.timeout.unwrap_or(REQUEST_TIMEOUT)
    }

    /// Whether it may be sent again though it may have been carried out.
    pub(super) fn is_repeatable(&self) -> bool {
        let harmless = matches!(self.method, Method::GET | Method::HEAD | Method::PUT);
        let asked = self.options.repeatable || self.options.headers.contains_key(IDEMPOTENCY_KEY);
        self.can_be_sent() && (harmless || asked)
    }

    /// Whether its body is still there.
    pub(super) fn can_be_sent(&self) -> bool {
        self.body.is_some()
    }

    /// The request to one coordinator. Takes the body if it is one that exists only once.
    pub(super) fn request(
        &mut self,
        peer: &Peer,
        authorization: &HeaderValue,
    ) -> Result<Request<Upload>, ClientError> {
        let body = match self.body.as_ref().and_then(Upload::again) {
            Some(copy) => copy,
            None => self.body.take().unwrap_or_else(Upload::empty),
        };
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(peer.uri(self.path));
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.options.headers);
            headers.insert(AUTHORIZATION, authorization.clone());
            headers.insert(HOST, peer.base.authority.clone());
        }
        request
            .body(body)
            .map_err(|error| ClientError::BadReply(error.to_string()))
    }
}
