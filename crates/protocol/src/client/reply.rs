//! A reply whose head has come: its body as a whole, or piece by piece.
//!
//! While a piece is waited for, the coordinator is watched as it is before the head: one that falls silent in the middle
//! of a reply is given up as soon as another is there to go on with.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::error::ClientError;
use super::target::Peer;
use super::vigil::PROBE_EVERY;
use super::{Client, REPLY_BYTES_MAX, REQUEST_TIMEOUT, innermost};
use crate::problem::Problem;

/// Bytes of a reply that is no problem document that are shown to people.
const SHOWN_BYTES_MAX: usize = 200;

/// See the module.
pub struct Reply {
    pub(super) response: Response<Incoming>,
    pub(super) peer: Arc<Peer>,
    pub(super) client: Client,
}

impl Reply {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The body, for whoever reads it without being told of a coordinator that falls silent.
    pub fn into_body(self) -> Incoming {
        self.response.into_body()
    }

    /// The next bytes of the body; none at its end.
    ///
    /// # Errors
    /// The connection breaks, or nothing comes for `silence_max`, or the coordinator is silent and another is not.
    pub async fn piece(&mut self, silence_max: Duration) -> Result<Option<Bytes>, ClientError> {
        let Self {
            response,
            peer,
            client,
        } = self;
        let body = response.body_mut();
        let next = async {
            loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(broken(peer, &error)),
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Ok(Some(bytes));
                        }
                    }
                }
            }
        };
        client.attend(peer, silence_max, next).await
    }

    /// The whole body, up to [`REPLY_BYTES_MAX`].
    ///
    /// # Errors
    /// The connection breaks, or the body is too large.
    pub async fn bytes(self) -> Result<Bytes, ClientError> {
        let Self { response, peer, .. } = self;
        let limited = Limited::new(response.into_body(), REPLY_BYTES_MAX);
        match limited.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(ClientError::BadReply(error.to_string())),
            // What a connection that breaks leaves is no reply at all.
            Err(error) => Err(broken(&peer, error.as_ref())),
        }
    }

    pub(super) async fn json<R: DeserializeOwned>(self) -> Result<R, ClientError> {
        if self.status() == StatusCode::NOT_MODIFIED {
            return Err(ClientError::NotModified);
        }
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::BadReply(error.to_string()))
    }

    /// The reply, unless it is a refusal.
    pub(super) async fn accepted(self, head_only: bool) -> Result<Self, ClientError> {
        let status = self.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(self);
        }
        let bytes = match head_only {
            true => Bytes::new(),
            false => self.bytes().await?,
        };
        let problem = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            let shown = bytes.get(..SHOWN_BYTES_MAX.min(bytes.len())).unwrap_or_default();
            let said = String::from_utf8_lossy(shown);
            Problem::new(status.as_u16(), "not_a_coordinator", format!("{status}: {said}"))
        });
        Err(ClientError::Problem(Box::new(problem)))
    }
}

/// Reads a whole body, up to [`REPLY_BYTES_MAX`], in [`REQUEST_TIMEOUT`] at most.
///
/// # Errors
/// See [`Reply::bytes`].
pub async fn read_bytes(reply: Reply) -> Result<Bytes, ClientError> {
    let (client, peer) = (reply.client.clone(), Arc::clone(&reply.peer));
    client.attend(&peer, REQUEST_TIMEOUT, reply.bytes()).await
}

fn broken(peer: &Peer, error: &(dyn std::error::Error + 'static)) -> ClientError {
    ClientError::Unreachable {
        url: peer.name(),
        why: innermost(error),
    }
}

impl Client {
    /// Waits for something that `peer` is to send.
    async fn attend<T>(
        &self,
        peer: &Arc<Peer>,
        silence_max: Duration,
        wait: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let watching = async {
            loop {
                self.silence_of(peer, Instant::now(), PROBE_EVERY).await;
                if self.has_better_than(peer) {
                    return Err(ClientError::Unreachable {
                        url: peer.name(),
                        why: "it fell silent".to_owned(),
                    });
                }
            }
        };
        let attended = async {
            tokio::select! {
                biased;
                came = wait => came,
                silent = watching => silent,
            }
        };
        let timed_out = |_| ClientError::TimedOut {
            url: peer.name(),
            limit: silence_max,
        };
        timeout(silence_max, attended).await.map_err(timed_out)?
    }
}
