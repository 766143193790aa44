//! Real servers for tests, started on loopback and ended by their ids: Redis in all its arrangements, and a proxy that misbehaves.
//!
//! Start with [`Redis::start`]; arrangements of several are [`Redis::replica`], [`Sentinels`] and [`Cluster`]. A [`Proxy`]
//! goes between a client and any of them. Everything ends when it is dropped, and also when the test process is killed
//! ([`orphans`]). Ports are reserved across processes ([`port`]), so a server that is started again finds its own port free.

mod cluster;
mod install;
mod options;
mod orphans;
mod port;
mod proxy;
mod redis;
mod resp;
mod sentinel;
mod tls;
mod wait;

pub use self::cluster::Cluster;
pub use self::install::redis_or_skip;
pub use self::options::{AclUser, AppendOnly, RedisOptions, Transport};
pub use self::port::Port;
pub use self::proxy::{Direction, Door, Flow, Proxy};
pub use self::redis::Redis;
pub use self::resp::{Client, Reply};
pub use self::sentinel::{SERVICE, Sentinels};
pub use self::tls::Certificates;
pub use self::wait::{LIMIT, within};
