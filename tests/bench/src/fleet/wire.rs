//! One kept-alive HTTP connection: a JSON request at a time, and nothing that a benchmark does not need.
//!
//! The typed client keeps a pool and fails over; here each agent has exactly one connection, which is never replaced,
//! so that as many are open as agents are parked.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The sending end of a connection.
pub(super) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    authorization: HeaderValue,
}

impl Wire {
    /// Connects. The future moves the bytes and must be polled for as long as the wire is used; it ends with the
    /// connection.
    pub(super) async fn connect(
        address: &str,
        token: &str,
    ) -> anyhow::Result<(Self, impl Future<Output = hyper::Result<()>> + Send + use<>)> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let wire = Self {
            sender,
            host: HeaderValue::from_str(address)?,
            authorization: HeaderValue::from_str(&format!("Bearer {token}"))?,
        };
        Ok((wire, connection))
    }

    /// Posts JSON and reads JSON.
    pub(super) async fn post<R: DeserializeOwned>(
        &mut self,
        path: &'static str,
        body: &(impl Serialize + Sync),
        limit: Duration,
    ) -> anyhow::Result<R> {
        let request = self.request(path, body)?;
        self.send(path, request, limit).await
    }

    /// The same for a request that the coordinator parks for so long, if it has nothing to say.
    pub(super) async fn post_parked<R: DeserializeOwned>(
        &mut self,
        path: &'static str,
        body: &(impl Serialize + Sync),
        (wait, limit): (Duration, Duration),
    ) -> anyhow::Result<R> {
        let mut request = self.request(path, body)?;
        let prefer = HeaderValue::from_str(&format!("wait={}", wait.as_secs()))?;
        request.headers_mut().insert("prefer", prefer);
        self.send(path, request, wait + limit).await
    }

    fn request(
        &self,
        path: &'static str,
        body: &(impl Serialize + Sync),
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::post(path).body(Full::from(serde_json::to_vec(body)?))?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    async fn send<R: DeserializeOwned>(
        &mut self,
        path: &'static str,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> anyhow::Result<R> {
        let exchange = async {
            self.sender.ready().await?;
            let reply = self.sender.send_request(request).await?;
            let status = reply.status();
            Ok::<_, hyper::Error>((status, reply.into_body().collect().await?.to_bytes()))
        };
        let (status, bytes) = timeout(limit, exchange)
            .await
            .with_context(|| format!("{path} is not answered within {limit:?}"))?
            .context(path)?;
        if !status.is_success() {
            bail!(
                "{path} is answered with {status}: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
        serde_json::from_slice(&bytes).with_context(|| format!("the answer to {path}"))
    }
}
