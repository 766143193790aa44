//! Dialling: from an address to a connection that is encrypted, authenticated and named, within a limit.
//!
//! The streams are made here rather than by the client library, for two reasons: TLS names its crypto provider (a program
//! with two of them panics otherwise), and the task that drives a connection belongs to the connection, so that dropping
//! one ends the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, ErrorKind, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisError, Value,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::config::{RedisConfig, RedisTls, ServerAddr};
use crate::{BackendError, OpenError};

/// How long it may take to connect, encrypt and authenticate.
const CONNECT_MAX: Duration = Duration::from_secs(2);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Knows how to introduce itself to any server of the arrangement.
#[derive(Clone)]
pub(super) struct Dialer {
    tls: Option<TlsConnector>,
    /// What every key begins with.
    keys: String,
    hello: RedisConnectionInfo,
}

/// An open connection, shared by many callers. It ends when the last of them lets go.
pub(super) struct Connection {
    redis: MultiplexedConnection,
    server: ServerAddr,
    /// Which process of Redis answers on it; empty while not known.
    run_id: String,
    driver: AbortHandle,
    /// Owns the driver.
    _tasks: JoinSet<()>,
}

impl Dialer {
    /// Reads certificates and key; dials nothing.
    pub(super) fn new(config: &RedisConfig) -> Result<Self, OpenError> {
        let mut hello = nobody().set_lib_name("hiveforge", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &config.user {
            hello = hello.set_username(user);
        }
        if let Some(password) = &config.password {
            hello = hello.set_password(password.reveal());
        }
        Ok(Self {
            tls: config.tls.as_ref().map(connector).transpose()?,
            keys: format!("{{{}:", config.prefix),
            hello,
        })
    }

    /// The same without user and password.
    pub(super) fn anonymous(&self) -> Self {
        Self {
            tls: self.tls.clone(),
            keys: self.keys.clone(),
            hello: nobody(),
        }
    }

    /// What every key begins with.
    pub(super) fn keys(&self) -> &str {
        &self.keys
    }

    /// Opens a connection for commands.
    pub(super) async fn connect(&self, server: &ServerAddr) -> Result<Connection, BackendError> {
        let connected = async {
            // Every call has a limit of its own, which depends on what it asks for.
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let stream = self.stream(server).await?;
            MultiplexedConnection::new_with_config(&self.hello, stream, config).await
        };
        let (redis, driver) = within(CONNECT_MAX, server, connected).await?;
        let mut tasks = JoinSet::new();
        let driver = tasks.spawn(driver);
        Ok(Connection {
            redis,
            server: server.clone(),
            run_id: String::new(),
            driver,
            _tasks: tasks,
        })
    }

    /// Opens a connection that only listens.
    pub(super) async fn listen(&self, server: &ServerAddr) -> Result<PubSub, BackendError> {
        let connected = async {
            let stream = self.stream(server).await?;
            PubSub::new(&self.hello, stream).await
        };
        within(CONNECT_MAX, server, connected).await
    }

    async fn stream(&self, server: &ServerAddr) -> io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, tcp).await?))
    }
}

impl Connection {
    /// Whether anything sent now could arrive.
    pub(super) fn is_alive(&self) -> bool {
        !self.driver.is_finished()
    }

    /// Sends commands and waits for their replies, of which each may be an error of the server.
    pub(super) async fn send(
        &self,
        commands: &Pipeline,
        limit: Duration,
    ) -> Result<Vec<Value>, BackendError> {
        let mut redis = self.redis.clone();
        within(
            limit,
            &self.server,
            redis.send_packed_commands(commands, 0, commands.len()),
        )
        .await
    }

    pub(super) const fn server(&self) -> &ServerAddr {
        &self.server
    }

    /// Notes which process of Redis answers, once it has said so.
    pub(super) fn with_run_id(self, run_id: String) -> Self {
        Self { run_id, ..self }
    }

    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }
}

/// Who gives no name. The older protocol is spoken, in which every reply is text, number, list or nothing.
fn nobody() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2)
}

async fn within<T>(
    limit: Duration,
    server: &ServerAddr,
    work: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, BackendError> {
    match timeout(limit, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(source)) => Err(failed(server, source)),
        Err(_) => Err(BackendError::NoAnswer { limit }),
    }
}

/// A refused login is for people to solve; everything else may pass.
fn failed(server: &ServerAddr, source: RedisError) -> BackendError {
    let server = server.to_string();
    match source.kind() {
        ErrorKind::AuthenticationFailed => BackendError::Unfit {
            server,
            why: format!("it refuses the user or the password ({source}): set both as Redis knows them"),
        },
        _ => BackendError::Redis { server, source },
    }
}

fn connector(tls: &RedisTls) -> Result<TlsConnector, OpenError> {
    let refused = |what: &'static str| move |why: String| OpenError::Tls { what, why };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca).map_err(refused("certificates of the authorities"))? {
        let added = roots.add(certificate).map_err(|error| error.to_string());
        added.map_err(refused("certificates of the authorities"))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("crypto provider")(error.to_string()))?
        .with_root_certificates(roots);
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.certificates).map_err(refused("own certificate"))?;
            let key = PrivateKeyDer::from_pem_slice(&identity.key)
                .map_err(|error| refused("own key")(error.to_string()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| refused("own certificate")(error.to_string()))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// At least one certificate.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if found.is_empty() => Err("there is no certificate in it, give a PEM file".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}
