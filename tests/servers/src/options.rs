//! How a Redis for a test is set up, and the configuration file that says so.
//!
//! Everything goes into a file that only its owner can read; nothing into the arguments, which everybody can.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::{Certificates, Port};

/// The user of [`crate::Redis::command`], beside whatever users a test declares.
pub(crate) const OWN_USER: &str = "tests";
/// Its password: the server lives for one test and listens on loopback.
pub(crate) const OWN_PASSWORD: &str = "tests-only";
/// The Unix socket of the server, in its directory.
pub(crate) const SOCKET: &str = "redis.sock";
/// The log of the server, in its directory.
pub(crate) const LOG: &str = "redis.log";

/// What is written to the disk, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppendOnly {
    /// Nothing is: a restart finds an empty store.
    #[default]
    No,
    /// `appendfsync everysec`.
    EverySecond,
    /// `appendfsync always`.
    Always,
}

/// How clients come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Without encryption.
    #[default]
    Plain,
    /// By TLS only; a client needs no certificate.
    Tls,
    /// By TLS only; a client needs a certificate of the same authority.
    MutualTls,
}

/// A user beside `default`, which is off as soon as there is one.
#[derive(Debug, Clone)]
pub struct AclUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
    /// What it may, in Redis's words, e.g. `~hf:* &hf:* +@all -@dangerous +info`.
    pub rules: String,
}

/// How a Redis is set up. The default keeps everything in memory and lets everybody on loopback in.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Persistence.
    pub append_only: AppendOnly,
    /// `maxmemory` in bytes.
    pub memory_max: Option<u64>,
    /// `maxmemory-policy`; Redis's default is `noeviction`.
    pub memory_policy: Option<String>,
    /// `requirepass`, and what a replica says to its primary.
    pub password: Option<String>,
    /// Users beside `default`.
    pub users: Vec<AclUser>,
    /// Encryption.
    pub transport: Transport,
    /// The primary of this replica.
    pub replica_of: Option<SocketAddr>,
    /// `min-replicas-to-write` and `min-replicas-max-lag` in seconds.
    pub replicas_min: Option<(u32, u32)>,
    /// Whether it is to be a member of a Cluster.
    pub is_cluster_member: bool,
    /// Further lines of `redis.conf`.
    pub extra: Vec<String>,
}

impl RedisOptions {
    /// The configuration file.
    pub(crate) fn render(
        &self,
        directory: &Path,
        port: &Port,
        certificates: Option<&Certificates>,
    ) -> String {
        let mut text = base(directory);
        let mut line = |words: String| {
            // Writing to a string cannot fail.
            writeln!(text, "{words}").ok();
        };
        match certificates {
            None => line(format!("port {}", port.number())),
            Some(files) => {
                let wants_client = match self.transport {
                    Transport::Plain | Transport::Tls => "no",
                    Transport::MutualTls => "yes",
                };
                line(format!("port 0\ntls-port {}", port.number()));
                line(format!("tls-cert-file {}", files.server_cert.display()));
                line(format!("tls-key-file {}", files.server_key.display()));
                line(format!("tls-ca-cert-file {}", files.ca.display()));
                line(format!("tls-auth-clients {wants_client}"));
            }
        }
        match self.append_only {
            AppendOnly::No => line("appendonly no".to_owned()),
            AppendOnly::EverySecond => line("appendonly yes\nappendfsync everysec".to_owned()),
            AppendOnly::Always => line("appendonly yes\nappendfsync always".to_owned()),
        }
        if let Some(bytes) = self.memory_max {
            line(format!("maxmemory {bytes}"));
        }
        if let Some(policy) = &self.memory_policy {
            line(format!("maxmemory-policy {policy}"));
        }
        if let Some(password) = &self.password {
            line(format!("requirepass {password}\nmasterauth {password}"));
        }
        if !self.users.is_empty() {
            line("user default off".to_owned());
        }
        for AclUser {
            name,
            password,
            rules,
        } in &self.users
        {
            line(format!("user {name} on >{password} {rules}"));
        }
        if let Some(primary) = self.replica_of {
            line(format!("replicaof {} {}", primary.ip(), primary.port()));
        }
        if let Some((replicas, lag_seconds)) = self.replicas_min {
            line(format!(
                "min-replicas-to-write {replicas}\nmin-replicas-max-lag {lag_seconds}"
            ));
        }
        if self.is_cluster_member {
            line("cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 5000".to_owned());
        }
        self.extra.iter().cloned().for_each(line);
        text
    }
}

/// What all servers of ours have in common, Sentinels included.
pub(crate) fn base(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "bind 127.0.0.1\n\
         daemonize no\n\
         dir {directory}\n\
         logfile {directory}/{LOG}\n\
         unixsocket {directory}/{SOCKET}\n\
         unixsocketperm 700\n\
         save \"\"\n\
         repl-diskless-sync-delay 0\n\
         enable-debug-command local\n\
         user {OWN_USER} on >{OWN_PASSWORD} ~* &* +@all\n"
    )
}
