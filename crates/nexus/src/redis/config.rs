//! How to reach Redis, and what an acknowledgement from it shall be worth. Plain data; [`RedisConfig::check`] finds what
//! cannot work before anything is dialled.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::OpenError;

/// The port that a server address without one means.
pub const REDIS_PORT: u16 = 6379;
/// Characters of a prefix.
const PREFIX_BYTES_MAX: usize = 32;

/// Everything that a [`RedisNexus`](crate::RedisNexus) is told.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// Where Redis is.
    pub servers: RedisServers,
    /// The ACL user; `None`: the default user.
    pub user: Option<String>,
    /// The password of the user (or of the server, where there is no user).
    pub password: Option<Password>,
    /// `None`: unencrypted connections.
    pub tls: Option<RedisTls>,
    /// What the name of every key begins with (inside its hash tag), so that several systems can share one Redis.
    pub prefix: String,
    /// How many replicas a durable commit waits for.
    pub replication: Replication,
}

impl RedisConfig {
    /// The usual settings for these servers: no authentication, no TLS, prefix `hf`.
    pub fn new(servers: RedisServers) -> Self {
        Self {
            servers,
            user: None,
            password: None,
            tls: None,
            prefix: "hf".to_owned(),
            replication: Replication::default(),
        }
    }

    /// Refuses what can never work.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let refuse = |field, value: String, way_out| {
            Err(OpenError::Setting {
                field,
                value,
                way_out,
            })
        };
        let is_allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c);
        let is_sized = (1..=PREFIX_BYTES_MAX).contains(&self.prefix.len());
        if !is_sized || !self.prefix.bytes().all(is_allowed) {
            return refuse(
                "prefix",
                self.prefix.clone(),
                "use 1 to 32 characters of a-z, 0-9, '-' and '_'",
            );
        }
        match &self.servers {
            RedisServers::Single(_) => {}
            RedisServers::Sentinel { sentinels, .. } if sentinels.is_empty() => {
                return refuse("sentinels", String::new(), "name at least one");
            }
            RedisServers::Sentinel { service, .. } if service.is_empty() => {
                return refuse(
                    "service",
                    String::new(),
                    "name the service as the sentinels do, for example mymaster",
                );
            }
            RedisServers::Sentinel { .. } => {}
            RedisServers::Cluster(servers) if servers.is_empty() => {
                return refuse(
                    "servers",
                    String::new(),
                    "name at least one server of the cluster",
                );
            }
            RedisServers::Cluster(_) => {}
        }
        if self.user.is_some() && self.password.is_none() {
            let user = self.user.clone().unwrap_or_default();
            return refuse("user", user, "give its password, too");
        }
        Ok(())
    }
}

/// The arrangement of servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisServers {
    /// One primary at a fixed address. What fails over behind that address (a service, a proxy) is not our concern.
    Single(ServerAddr),
    /// Sentinels know which server is the primary of the service.
    Sentinel {
        /// Where to ask, in this order. The same user, password and TLS are used for them; one that knows no password is
        /// asked without.
        sentinels: Vec<ServerAddr>,
        /// The name that the sentinels have for it.
        service: String,
    },
    /// A Redis Cluster. Each space lives on one primary of it, all its keys under one hash tag.
    Cluster(Vec<ServerAddr>),
}

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddr {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl ServerAddr {
    /// An address from its parts.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The text names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no server: write it like redis.example:6379 or [::1]:6379")]
pub struct NotAServer(pub String);

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
impl FromStr for ServerAddr {
    type Err = NotAServer;

    fn from_str(text: &str) -> Result<Self, NotAServer> {
        let refused = || NotAServer(text.to_owned());
        let (host, rest) = match text.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or_else(refused)?,
            None => match text.find(':') {
                Some(colon) => text.split_at(colon),
                None => (text, ""),
            },
        };
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| refused())?,
            None if rest.is_empty() => REDIS_PORT,
            None => return Err(refused()),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
        match !host.is_empty() && host.chars().all(is_name) && port != 0 {
            true => Ok(Self::new(host, port)),
            false => Err(refused()),
        }
    }
}

/// A password, which no debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Hides the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// Whom to trust on encrypted connections, and how to prove who we are. PEM texts, not paths.
#[derive(Clone)]
pub struct RedisTls {
    /// The certificates of the authorities that may vouch for a server.
    pub ca: Vec<u8>,
    /// Our own certificate chain and its key, where the server wants to know its clients.
    pub identity: Option<TlsIdentity>,
}

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTls")
            .field("has_identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

/// A certificate chain and its key, both in PEM.
#[derive(Clone)]
pub struct TlsIdentity {
    /// The chain, our own certificate first.
    pub certificates: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

/// How many replicas a commit of [`Durability::Disk`](crate::Durability::Disk) waits for, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replication {
    /// `None`: one where any replica is connected. `Some(0)`: never waits.
    pub wait_for: Option<u32>,
    /// Gives up waiting then; the commit is acknowledged all the same, and counted as short.
    pub wait_max: Duration,
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            wait_for: None,
            wait_max: Duration::from_millis(500),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_from_text() {
        let read = |text: &str| text.parse::<ServerAddr>();
        assert_eq!(read("redis"), Ok(ServerAddr::new("redis", 6379)));
        assert_eq!(read("10.0.0.1:7000"), Ok(ServerAddr::new("10.0.0.1", 7000)));
        assert_eq!(read("[::1]:7000"), Ok(ServerAddr::new("::1", 7000)));
        assert_eq!(read("[::1]"), Ok(ServerAddr::new("::1", 6379)));
        for bad in [
            "",
            ":6379",
            "a:b",
            "a:0",
            "a:70000",
            "[::1",
            "[::1]x",
            "a b",
            "user@host",
        ] {
            assert_eq!(read(bad), Err(NotAServer(bad.to_owned())));
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let mut config = RedisConfig::new(RedisServers::Single(ServerAddr::new("redis", 6379)));
        config.password = Some(Password::new("open sesame"));
        assert!(!format!("{config:?}").contains("sesame"));
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_field_the_value_and_the_way_out() {
        let mut config = RedisConfig::new(RedisServers::Cluster(Vec::new()));
        config.prefix = "{x}".to_owned();
        let text = config.check().unwrap_err().to_string();
        assert!(
            text.contains("prefix") && text.contains("{x}") && text.contains("a-z"),
            "{text}"
        );
        config.prefix = "hf".to_owned();
        let text = config.check().unwrap_err().to_string();
        assert!(text.contains("servers"), "{text}");
    }
}
