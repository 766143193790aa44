//! Raw requests, for what the protocol's client would not send and for headers that it does not show.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use protocol::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::world::{ADMIN, World};

/// A request that is not sent yet.
pub(crate) struct Ask {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl World {
    /// A request without a token.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask {
            address: self.address,
            method: method.parse().unwrap(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A person's request.
    pub(crate) fn say(&self, method: &str, path: &str) -> Ask {
        self.ask(method, path).token(ADMIN)
    }
}

impl Ask {
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(self) -> Reply {
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("http://{}{}", self.address, self.path));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(self.body)).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn value(&self) -> Value {
        self.json()
    }

    /// The problem, which must be one in every respect.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status.as_u16());
        assert_eq!(problem.kind, format!("/docs/api#{}", problem.code));
        let retry_after = problem.retry_after.map_or(String::new(), |s| s.to_string());
        assert_eq!(self.header("retry-after"), retry_after);
        problem
    }
}
