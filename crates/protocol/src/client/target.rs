//! Where coordinators are: the base URLs that were configured, and the addresses that they stand for.
//!
//! A URL with an address in it stands for one coordinator, a URL with a host name for as many as the name has addresses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::error::BadUrl;

/// The port of a URL that names none.
const PORT_DEFAULT: u16 = 80;
/// How long it may take to look up a name.
const LOOKUP_MAX: Duration = Duration::from_secs(5);
/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 32;

/// A configured base URL.
#[derive(Debug)]
pub(super) struct Base {
    /// As it was written, without a slash at its end.
    pub(super) text: String,
    /// What the header `host` says.
    pub(super) authority: HeaderValue,
    host: String,
    port: u16,
    /// What stands before each path.
    prefix: String,
}

/// One coordinator: a base URL at one of its addresses.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) base: Arc<Base>,
    pub(super) address: SocketAddr,
    /// Held by whoever asks it whether it is there: one at a time is enough.
    pub(super) probing: Mutex<()>,
}

impl Base {
    /// Reads a base URL.
    ///
    /// # Errors
    /// It is not `http://host[:port]`.
    pub(super) fn parse(text: &str) -> Result<Self, BadUrl> {
        let bad = || BadUrl(without_credentials(text));
        let trimmed = text.trim_end_matches('/');
        let uri: http::Uri = trimmed.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        let host = authority.host().trim_matches(['[', ']']);
        let is_plain = uri.scheme_str() == Some("http")
            && uri.query().is_none()
            && !host.is_empty()
            && !authority.as_str().contains('@');
        // A port that is no number is not told from an absent one.
        let has_port = authority.as_str().len() > authority.host().len();
        if !is_plain || has_port && authority.port_u16().is_none() {
            return Err(bad());
        }
        Ok(Self {
            text: trimmed.to_owned(),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(PORT_DEFAULT),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The address in the URL, if there is one and no name.
    pub(super) fn fixed(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }

    /// All addresses of the name.
    ///
    /// # Errors
    /// The name cannot be looked up, or not in time; the words say why.
    pub(super) async fn look_up(&self) -> Result<Vec<SocketAddr>, String> {
        let looking = tokio::net::lookup_host((self.host.as_str(), self.port));
        let found = match timeout(LOOKUP_MAX, looking).await {
            Err(_) => return Err(format!("`{}` was not found within {LOOKUP_MAX:?}", self.host)),
            Ok(Err(why)) => return Err(why.to_string()),
            Ok(Ok(found)) => found,
        };
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(ADDRESSES_MAX);
        match addresses.is_empty() {
            true => Err(format!("`{}` has no address", self.host)),
            false => Ok(addresses),
        }
    }
}

/// A URL as it may be shown: whoever writes a password into it must not find it in a log.
fn without_credentials(text: &str) -> String {
    match text.rsplit_once('@') {
        None => text.to_owned(),
        Some((before, after)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://***@{after}")
        }
    }
}

impl Peer {
    pub(super) fn new(base: &Arc<Base>, address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            base: Arc::clone(base),
            address,
            probing: Mutex::new(()),
        })
    }

    /// The URI of a path. It has the address, so that a connection goes where it is meant to; the name is in `host`.
    pub(super) fn uri(&self, path: &str) -> String {
        format!("http://{}{}{path}", self.address, self.base.prefix)
    }

    /// How people know it: the URL, and the address if that is not in it.
    pub(super) fn name(&self) -> String {
        match self.base.fixed() {
            Some(_) => self.base.text.clone(),
            None => format!("{} ({})", self.base.text, self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_its_coordinators_are() {
        let base = |text: &str| Base::parse(text).unwrap();
        let fixed = |text: &str| base(text).fixed().map(|address| address.to_string());
        assert_eq!(fixed("http://10.0.0.1:4711/").as_deref(), Some("10.0.0.1:4711"));
        assert_eq!(fixed("http://[::1]").as_deref(), Some("[::1]:80"));
        assert_eq!(fixed("http://forge:4711"), None);
        assert_eq!(base("http://forge:4711//").text, "http://forge:4711");
        let peer = Peer::new(&Arc::new(base("http://forge/x/")), "10.0.0.1:80".parse().unwrap());
        assert_eq!(peer.uri("/v1"), "http://10.0.0.1:80/x/v1");
        assert_eq!(peer.name(), "http://forge/x (10.0.0.1:80)");
        assert_eq!(peer.base.authority, "forge");
    }

    #[test]
    fn what_is_no_url_of_a_coordinator_is_refused_by_name() {
        for wrong in [
            "",
            "forge:4711",
            "https://forge",
            "http://",
            "http://forge?x=1",
            "http://a:b",
            "http://forge:99999",
        ] {
            assert_eq!(
                Base::parse(wrong).unwrap_err(),
                BadUrl(wrong.to_owned()),
                "{wrong}"
            );
        }
        let bad = Base::parse("http://user:secret@forge").unwrap_err();
        assert_eq!(bad, BadUrl("http://***@forge".to_owned()));
    }
}
