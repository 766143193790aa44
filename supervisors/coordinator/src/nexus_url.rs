//! Which nexus is meant, in the one word that a command line has for it.
//!
//! A URL has no place for a password: arguments and environments can be read by others. It comes from a file.

use std::path::PathBuf;
use std::str::FromStr;

use nexus::{REDIS_PORT, RedisServers, ServerAddr};

/// Servers that one URL may name.
const SERVERS_MAX: usize = 32;
/// Where a Sentinel listens when nothing is said.
const SENTINEL_PORT: u16 = 26379;

/// Which nexus to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NexusUrl {
    /// `sqlite:PATH`: the embedded one.
    Sqlite(PathBuf),
    /// `redis..://..`
    Redis(RedisUrl),
}

/// A Redis, however many servers that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// How it is reached: `redis://HOST`, `redis+sentinel://HOST,HOST/SERVICE` or `redis+cluster://HOST,HOST`.
    pub servers: RedisServers,
    /// Who logs in; none for the default user.
    pub user: Option<String>,
    /// With TLS: `rediss`.
    pub tls: bool,
}

/// A text that names no nexus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` names no nexus: {why}")]
pub struct NotANexus {
    /// The text, without a password that may have been in it.
    pub url: String,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with the URL of a nexus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It begins with nothing that is known.
    #[error(
        "write it like sqlite:/var/lib/hiveforge/nexus.db, redis://user@forge:6379, \
         redis+sentinel://one:26379,two:26379/service or redis+cluster://one:6379,two:6379 (rediss for TLS)"
    )]
    Scheme,
    /// It has a password in it.
    #[error(
        "a password does not belong into a URL, where others can read it: leave it out and name a file that holds it \
         (--nexus-password-file or HIVEFORGE_NEXUS_PASSWORD_FILE)"
    )]
    Password,
    /// The user is none.
    #[error("`{0}` is no user: letters, digits, `.`, `_` and `-` are allowed")]
    User(String),
    /// A server is none.
    #[error("`{0}` is no server: write it like forge, forge:6379 or [fd00::1]:6379")]
    Server(String),
    /// There are too many of them.
    #[error("{0} servers: at most {SERVERS_MAX} are allowed")]
    Servers(usize),
    /// There are several, and nobody knows what they are to each other.
    #[error("several servers are redis+sentinel:// or redis+cluster://")]
    Several,
    /// There is something behind the server.
    #[error("`{0}` does not belong there: the whole Redis is used, in its first database")]
    Path(String),
    /// The Sentinels are not asked for anything.
    #[error("the service is missing: write it like redis+sentinel://one,two/service")]
    Service,
}

impl FromStr for NexusUrl {
    type Err = NotANexus;

    fn from_str(text: &str) -> Result<Self, NotANexus> {
        let parsed = match text.strip_prefix("sqlite:") {
            Some("") => Err(Why::Scheme),
            Some(path) => Ok(Self::Sqlite(PathBuf::from(path))),
            None => redis(text).map(Self::Redis),
        };
        parsed.map_err(|why| NotANexus {
            url: without_password(text),
            why,
        })
    }
}

fn redis(text: &str) -> Result<RedisUrl, Why> {
    let (scheme, rest) = text.split_once("://").ok_or(Why::Scheme)?;
    let (transport, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    let tls = match transport {
        "redis" => false,
        "rediss" => true,
        _ => return Err(Why::Scheme),
    };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(login(user)?), rest),
        None => (None, rest),
    };
    let (hosts, path) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let servers = match kind {
        "" => RedisServers::Single(single(hosts, path)?),
        "sentinel" => RedisServers::Sentinel {
            sentinels: several(hosts, SENTINEL_PORT)?,
            service: service(path)?,
        },
        "cluster" => {
            no_path(path)?;
            RedisServers::Cluster(several(hosts, REDIS_PORT)?)
        }
        _ => return Err(Why::Scheme),
    };
    Ok(RedisUrl { servers, user, tls })
}

fn login(user: &str) -> Result<String, Why> {
    if user.contains(':') {
        return Err(Why::Password);
    }
    match is_word(user) {
        true => Ok(user.to_owned()),
        false => Err(Why::User(user.to_owned())),
    }
}

fn single(hosts: &str, path: &str) -> Result<ServerAddr, Why> {
    no_path(path)?;
    if hosts.contains(',') {
        return Err(Why::Several);
    }
    server(hosts, REDIS_PORT)
}

fn several(hosts: &str, port: u16) -> Result<Vec<ServerAddr>, Why> {
    let n = hosts.split(',').count();
    if n > SERVERS_MAX {
        return Err(Why::Servers(n));
    }
    hosts.split(',').map(|host| server(host, port)).collect()
}

fn server(text: &str, port: u16) -> Result<ServerAddr, Why> {
    let after_host = text.rsplit(']').next().unwrap_or(text);
    let parsed: Result<ServerAddr, _> = match after_host.contains(':') {
        true => text.parse(),
        false => format!("{text}:{port}").parse(),
    };
    parsed.map_err(|_| Why::Server(text.to_owned()))
}

fn service(path: &str) -> Result<String, Why> {
    match path.strip_prefix('/') {
        None | Some("") => Err(Why::Service),
        Some(service) if is_word(service) => Ok(service.to_owned()),
        Some(service) => Err(Why::Path(service.to_owned())),
    }
}

fn no_path(path: &str) -> Result<(), Why> {
    match path {
        "" | "/" => Ok(()),
        path => Err(Why::Path(path.to_owned())),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// The text with whatever may be a password left out.
fn without_password(text: &str) -> String {
    let Some((login, rest)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    let (scheme, login) = login.split_once("://").unwrap_or(("", login));
    match login.split_once(':') {
        None => text.to_owned(),
        Some((user, _)) => format!("{scheme}://{user}:***@{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RedisUrl {
        match text.parse().unwrap() {
            NexusUrl::Redis(url) => url,
            sqlite @ NexusUrl::Sqlite(_) => panic!("{sqlite:?}"),
        }
    }

    fn shown(servers: &[ServerAddr]) -> Vec<String> {
        servers.iter().map(ServerAddr::to_string).collect()
    }

    #[test]
    fn an_embedded_nexus_is_named_by_its_file() {
        let file = "sqlite:/var/x.db".parse();
        assert_eq!(file, Ok(NexusUrl::Sqlite("/var/x.db".into())));
    }

    #[test]
    fn one_redis_is_named_by_its_host_with_or_without_port_user_and_tls() {
        for (text, host, user, tls) in [
            ("redis://forge", "forge:6379", None, false),
            ("redis://forge/", "forge:6379", None, false),
            ("redis://hive@10.0.0.7:7000", "10.0.0.7:7000", Some("hive"), false),
            ("rediss://[fd00::1]:7000", "[fd00::1]:7000", None, true),
            ("rediss://[fd00::1]", "[fd00::1]:6379", None, true),
        ] {
            let RedisUrl {
                servers: RedisServers::Single(server),
                user: found,
                tls: with_tls,
            } = url(text)
            else {
                panic!("{text}");
            };
            assert_eq!(
                (server.to_string(), found.as_deref(), with_tls),
                (host.to_owned(), user, tls)
            );
        }
    }

    #[test]
    fn a_sentinel_set_is_named_by_its_sentinels_and_its_service() {
        let found = url("rediss+sentinel://hive@one,two:5000/forge");
        let RedisServers::Sentinel { sentinels, service } = found.servers else {
            panic!("{found:?}");
        };
        assert_eq!(shown(&sentinels), ["one:26379", "two:5000"]);
        assert_eq!((service.as_str(), found.tls), ("forge", true));
    }

    #[test]
    fn a_cluster_is_named_by_some_of_its_servers() {
        let found = url("redis+cluster://one:7000,two,three:7002");
        let RedisServers::Cluster(servers) = &found.servers else {
            panic!("{found:?}");
        };
        assert_eq!(shown(servers), ["one:7000", "two:6379", "three:7002"]);
    }

    #[test]
    fn what_names_no_nexus_is_refused_with_its_value_and_the_way_out() {
        for (text, words) in [
            ("", "write it like sqlite:"),
            ("sqlite:", "write it like sqlite:"),
            ("/var/x.db", "write it like sqlite:"),
            ("mysql://x", "write it like sqlite:"),
            ("redis:forge", "write it like sqlite:"),
            ("redis+ring://x", "write it like sqlite:"),
            ("redis://", "`` is no server"),
            ("redis://forge:none", "`forge:none` is no server"),
            ("redis://forge:0", "`forge:0` is no server"),
            ("redis://fd00::1", "`fd00::1` is no server"),
            ("redis://one,two", "redis+sentinel:// or redis+cluster://"),
            ("redis://forge/3", "`/3` does not belong there"),
            ("redis://forge?db=3", "`?db=3` does not belong there"),
            ("redis://a%20b@forge", "`a%20b` is no user"),
            ("redis+sentinel://one,two", "the service is missing"),
            ("redis+sentinel://one/a/b", "`a/b` does not belong there"),
            ("redis+cluster://one,,two", "`` is no server"),
            ("redis+cluster://one/x", "`/x` does not belong there"),
        ] {
            let refused = text.parse::<NexusUrl>().unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("`{text}` names no nexus: ")) && refused.contains(words),
                "{refused}"
            );
        }
        let many = format!("redis+cluster://{}", ["h"; SERVERS_MAX + 1].join(","));
        let refused = many.parse::<NexusUrl>().unwrap_err();
        assert_eq!(refused.why, Why::Servers(SERVERS_MAX + 1));
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_never_shown() {
        for text in [
            "redis://hive:s3cr3t@forge",
            "redis://:s3cr3t@forge",
            "rediss+sentinel://hive:s3/cr3t@x@one/forge",
            "mysql://hive:s3cr3t@forge",
        ] {
            let refused = text.parse::<NexusUrl>().unwrap_err().to_string();
            assert!(!refused.contains("cr3t"), "{refused}");
            assert!(
                refused.contains("--nexus-password-file") || text.starts_with("mysql"),
                "{refused}"
            );
        }
    }
}
