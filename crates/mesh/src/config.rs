//! What a mesh is started with, checked before anything listens: a name, an address, where the others are, TLS, a cookie.
//!
//! The one rule: without TLS nothing leaves the loopback addresses, neither the listener nor a dial. What is said over
//! the mesh is not secret, but whoever may speak there may ask every coordinator for drills and readings.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// Longest name of a coordinator, in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// Most addresses that are dialled.
pub const PEERS_MAX: usize = 64;

/// What a mesh is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// What people call this coordinator. Unique among its peers, such as the name of its machine or pod.
    pub name: String,
    /// Where to listen for peers; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the peers are. This coordinator itself may be among them.
    pub peers: Peers,
    /// The certificates; none is for loopback addresses only.
    pub tls: Option<TlsFiles>,
    /// The file of the cookie, which is the same for all coordinators.
    pub cookie: PathBuf,
}

/// The files of mutual TLS, all PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificates of the authority that signs coordinators and nobody else.
    pub ca: PathBuf,
    /// This coordinator's certificate, followed by those between it and the authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Where the peers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peers {
    /// These, whether they answer or not.
    Listed(Vec<PeerAddress>),
    /// Whatever this name means at the moment, such as a headless service.
    Named(PeerAddress),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The name is unfit for messages and paths.
    #[error(
        "mesh name {0:?} is no name: take 1 to {NAME_BYTES_MAX} letters, digits, `.`, `-` or `_`, first a letter or digit"
    )]
    BadName(String),
    /// Others could listen in, or pretend to be a coordinator.
    #[error(
        "the mesh may not use {address} without TLS: give a CA, a certificate and a key, or stay on a loopback address \
         such as 127.0.0.1"
    )]
    Exposed {
        /// The address.
        address: String,
    },
    /// Not a host and a port.
    #[error("mesh peer {0:?} is no address: write it like coordinator-2.example:7080 or [::1]:7080")]
    BadAddress(String),
    /// Both ways to say where the peers are.
    #[error("mesh peers {0:?}: give either `dns:NAME:PORT` alone, or a list of HOST:PORT")]
    Mixed(String),
    /// More than are dialled.
    #[error("{0} mesh peers are listed, {PEERS_MAX} at most are dialled")]
    TooMany(usize),
}

impl Config {
    /// Looks for what cannot work or must not be.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !is_name(&self.name) {
            return Err(ConfigError::BadName(self.name.clone()));
        }
        if self.tls.is_none() {
            stay_on_loopback(self.listen.ip(), &self.listen)?;
        }
        let Peers::Listed(listed) = &self.peers else {
            return Ok(());
        };
        if listed.len() > PEERS_MAX {
            return Err(ConfigError::TooMany(listed.len()));
        }
        let addresses = listed.iter().filter(|_| self.tls.is_none());
        for (ip, peer) in addresses.filter_map(|peer| Some((peer.host.parse().ok()?, peer))) {
            stay_on_loopback(ip, peer)?;
        }
        Ok(())
    }
}

/// Refuses an address that is not of this machine alone.
pub(crate) fn stay_on_loopback(ip: IpAddr, address: &impl fmt::Display) -> Result<(), ConfigError> {
    if ip.to_canonical().is_loopback() {
        return Ok(());
    }
    Err(ConfigError::Exposed {
        address: address.to_string(),
    })
}

/// Whether a text is fit to be the name of a coordinator.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= NAME_BYTES_MAX
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

impl FromStr for PeerAddress {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let bad = || ConfigError::BadAddress(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match bare {
            Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains([':', '[', ']', '/', '@', ' ']),
        };
        let port = port.parse().ok().filter(|port| *port != 0 && is_host);
        Ok(Self {
            host: bare.unwrap_or(host).to_owned(),
            port: port.ok_or_else(bad)?,
        })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `dns:NAME:PORT`, or addresses with commas between them; nothing is nobody.
impl FromStr for Peers {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text.strip_prefix("dns:") {
            Some(name) if name.contains(',') => Err(ConfigError::Mixed(text.to_owned())),
            Some(name) => name.parse().map(Self::Named),
            None => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let parse = |part: &str| match part.strip_prefix("dns:") {
                    Some(_) => Err(ConfigError::Mixed(text.to_owned())),
                    None => part.parse(),
                };
                parts.map(parse).collect::<Result<_, _>>().map(Self::Listed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &str, peers: &str) -> Config {
        Config {
            name: "c1".to_owned(),
            listen: listen.parse().unwrap(),
            peers: peers.parse().unwrap(),
            tls: None,
            cookie: PathBuf::from("cookie"),
        }
    }

    #[test]
    fn without_tls_nothing_leaves_the_loopback_addresses() {
        assert_eq!(
            config("127.0.0.1:7080", "[::1]:7080, localhost:7080").check(),
            Ok(())
        );
        for (listen, peers) in [
            ("0.0.0.0:7080", ""),
            ("[::]:7080", ""),
            ("127.0.0.1:1", "10.0.0.2:7080"),
        ] {
            let refused = config(listen, peers).check().unwrap_err();
            assert!(matches!(refused, ConfigError::Exposed { .. }), "{refused:?}");
            assert!(refused.to_string().contains("give a CA"), "{refused}");
        }
    }

    #[test]
    fn peers_are_a_list_or_one_name() {
        let address = |host: &str, port| PeerAddress {
            host: host.to_owned(),
            port,
        };
        let listed = Peers::Listed(vec![address("a", 1), address("::1", 2)]);
        assert_eq!("a:1, [::1]:2".parse(), Ok(listed));
        assert_eq!("".parse(), Ok(Peers::Listed(Vec::new())));
        assert_eq!("dns:hive.svc:7".parse(), Ok(Peers::Named(address("hive.svc", 7))));
        assert_eq!(address("::1", 2).to_string(), "[::1]:2");
    }

    #[test]
    fn bad_peers_are_named_with_the_way_out() {
        for bad in ["a", "a:0", "a:70000", ":1", "::1:7", "http://a:1", "[a]:1"] {
            let refused = bad.parse::<Peers>().unwrap_err();
            assert_eq!(refused, ConfigError::BadAddress(bad.to_owned()));
        }
        for mixed in ["dns:a:1,b:2", "b:2,dns:a:1"] {
            assert_eq!(mixed.parse::<Peers>(), Err(ConfigError::Mixed(mixed.to_owned())));
        }
        let many = vec!["a:1"; PEERS_MAX + 1].join(",");
        assert_eq!(
            config("127.0.0.1:1", &many).check(),
            Err(ConfigError::TooMany(PEERS_MAX + 1))
        );
    }

    #[test]
    fn names_are_fit_for_messages_and_paths() {
        for good in ["c1", "coordinator-0.hive", "A_b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a b", "a@b", "a/b", &"a".repeat(NAME_BYTES_MAX + 1)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
