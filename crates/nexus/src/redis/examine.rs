//! What a Redis says of itself: read once on every new connection, so that one which must not be used never is.
//!
//! `INFO` and `CONFIG` may be forbidden to our user; what is not known is then said to be unknown, not guessed.

use std::time::Duration;

use redis::{Pipeline, Value};

use super::dial::Connection;
use super::reply::{text, texts};
use super::script::RIGHTS;
use crate::{BackendError, Room};

/// How long the examination may take.
const EXAMINE_MAX: Duration = Duration::from_secs(2);
/// The oldest version whose scripts can carry flags.
const VERSION_MIN: (u32, u32) = (7, 0);
/// Growth ends at this share of `maxmemory`, in percent: the rest is for what brings work to its end.
const GROWTH_PERCENT: u64 = 90;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) version: String,
    /// Chosen anew by each process.
    pub(super) run_id: String,
    pub(super) replicas: u32,
    /// Bytes.
    pub(super) used: u64,
    /// Bytes; 0: no bound.
    pub(super) max: u64,
    is_replica: bool,
    has_log: bool,
    policy: Option<String>,
    /// `appendfsync`, where `CONFIG` is allowed.
    sync: Option<String>,
    /// Whether snapshots are made, where `CONFIG` is allowed.
    has_snapshots: Option<bool>,
    /// `min-replicas-to-write`, where `CONFIG` is allowed.
    replicas_min: Option<u32>,
    info_forbidden: bool,
    /// A command that we wish for and may not use.
    missed: Option<String>,
}

/// Asks, and refuses a server that must not be used.
/// Every key begins with `keys`.
pub(super) async fn examine(connection: &Connection, keys: &str) -> Result<Found, BackendError> {
    let mut commands = Pipeline::new();
    for section in ["server", "memory", "persistence", "replication"] {
        commands.cmd("INFO").arg(section);
    }
    for setting in ["maxmemory-policy", "appendfsync", "save", "min-replicas-to-write"] {
        commands.cmd("CONFIG").arg("GET").arg(setting);
    }
    let mut ask_rights = RIGHTS.call(&[]);
    ask_rights.arg(keys);
    commands.add_command(RIGHTS.load()).add_command(ask_rights);
    let replies = connection.send(&commands, EXAMINE_MAX).await?;
    let mut found = read(&replies);
    let server = connection.server().to_string();
    let is_stranger = |reply: &Value| matches!(reply, Value::ServerError(error) if error.code() == "NOAUTH");
    if replies.iter().any(is_stranger) {
        return Err(BackendError::Unfit {
            server,
            why: "it wants to know who we are: give a password (and a user, if it knows users)".to_owned(),
        });
    }
    if found.is_replica {
        return Err(BackendError::NoPrimary {
            what: server,
            why: "it is a replica; it may become the primary, otherwise name the primary or its sentinels"
                .to_owned(),
        });
    }
    let lacks = |command: String| {
        format!(
            "our user may not use {command} with keys that begin with {keys}: allow it as docs/operations.md says"
        )
    };
    let mut missing = replies.last().map(texts).unwrap_or_default().into_iter();
    let mut next = || missing.next().filter(|command| !command.is_empty());
    let lacking = next();
    found.missed = next();
    match found.objection().or_else(|| lacking.map(lacks)) {
        None => Ok(found),
        Some(why) => Err(BackendError::Unfit { server, why }),
    }
}

fn read(replies: &[Value]) -> Found {
    let (infos, settings) = replies.split_at(replies.len().min(4));
    let info: String = infos.iter().filter_map(text).collect();
    let of = |field: &str| {
        let line = info
            .lines()
            .find(|line| line.strip_prefix(field).is_some_and(|rest| rest.starts_with(':')));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    let number = |field: &str| of(field).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let setting = |index: usize| {
        settings
            .get(index)
            .map(texts)
            .and_then(|pair| pair.get(1).cloned())
    };
    Found {
        version: of("redis_version").unwrap_or_default(),
        run_id: of("run_id").unwrap_or_default(),
        replicas: u32::try_from(number("connected_slaves")).unwrap_or(u32::MAX),
        used: number("used_memory"),
        max: number("maxmemory"),
        is_replica: of("role").is_some_and(|role| role != "master"),
        has_log: of("aof_enabled").is_some_and(|enabled| enabled == "1"),
        policy: of("maxmemory_policy").or_else(|| setting(0)),
        sync: setting(1),
        has_snapshots: setting(2).map(|save| !save.is_empty()),
        replicas_min: setting(3).and_then(|n| n.parse().ok()),
        info_forbidden: infos.iter().all(|info| text(info).is_none()),
        missed: None,
    }
}

impl Found {
    /// Why this server must not be used, with the way out.
    fn objection(&self) -> Option<String> {
        let parts: Vec<u32> = self
            .version
            .split('.')
            .map_while(|part| part.parse().ok())
            .collect();
        if let [major, minor, ..] = parts[..]
            && (major, minor) < VERSION_MIN
        {
            return Some(format!(
                "its version is {}: 7.0 is the oldest that will do",
                self.version
            ));
        }
        match self.policy.as_deref() {
            None | Some("noeviction") => None,
            Some(policy) => Some(format!(
                "its maxmemory-policy is {policy}, which throws records away when memory is short: set it to noeviction"
            )),
        }
    }

    /// How full it is.
    pub(super) fn room(&self) -> Option<Room> {
        (self.max > 0).then(|| Room {
            used: self.used,
            growth_max: self.max / 100 * GROWTH_PERCENT,
            max: self.max,
        })
    }

    /// One line for people: version and role.
    pub(super) fn description(&self) -> String {
        let version = match self.version.as_str() {
            "" => "of unknown version",
            version => version,
        };
        match self.replicas {
            0 => format!("redis {version}, primary without replicas"),
            1 => format!("redis {version}, primary of 1 replica"),
            n => format!("redis {version}, primary of {n} replicas"),
        }
    }

    /// What an acknowledged durable commit survives, where commits wait for `waits_for` replicas.
    pub(super) fn durability(&self, waits_for: u32) -> String {
        let disk = match (self.has_log, self.sync.as_deref(), self.has_snapshots) {
            (true, Some("always"), _) => "loss of power (appendfsync always)",
            (true, Some("everysec"), _) => {
                "written at once, synced each second: a crash may take up to two seconds (appendfsync everysec)"
            }
            (true, Some(_), _) => {
                "written at once, synced when the system likes: a crash may take more (appendfsync no)"
            }
            (true, None, _) => {
                "written to an append-only file; how it is synced is not known: CONFIG is forbidden"
            }
            (false, _, Some(true)) => "only what the last snapshot has (no append-only file)",
            (false, _, Some(false)) => "nothing: it ends with the process of Redis",
            (false, _, None) if self.info_forbidden => "not known: INFO and CONFIG are forbidden",
            (false, _, None) => "at most what the last snapshot has (no append-only file)",
        };
        match waits_for {
            0 => disk.to_owned(),
            1 => format!("{disk}; 1 replica has it, too"),
            n => format!("{disk}; {n} replicas have it, too"),
        }
    }

    /// What weakens the promises, with the way out.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.info_forbidden {
            warnings.push(
                "INFO is forbidden to our user: neither the role nor a full memory can be seen; allow +info"
                    .to_owned(),
            );
        }
        if !self.has_log && !self.info_forbidden {
            warnings.push(match self.has_snapshots {
                Some(false) => "nothing is kept on disk: acknowledged work is gone when Redis ends; set appendonly yes".to_owned(),
                Some(true) | None => {
                    "there is no append-only file: what came after the last snapshot is gone when Redis ends; set appendonly yes"
                        .to_owned()
                }
            });
        }
        if self.sync.as_deref() == Some("no") && self.has_log {
            warnings.push(
                "appendfsync is no: the system decides what a loss of power takes; set everysec or always"
                    .to_owned(),
            );
        }
        if self.max == 0 && !self.info_forbidden {
            warnings.push(
                "maxmemory is not set: growth cannot be stopped before the system stops Redis; set maxmemory"
                    .to_owned(),
            );
        }
        if self.replicas > 0 && self.replicas_min == Some(0) {
            warnings.push(
                "min-replicas-to-write is 0: a primary that was cut off goes on taking writes that a failover loses; set it to 1"
                    .to_owned(),
            );
        }
        if let Some(command) = &self.missed {
            warnings.push(format!(
                "our user may not use {command}: what another coordinator has done is seen within a second and not at once; allow it"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(info: &str) -> Found {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        read(&[bulk(info), Value::Nil, Value::Nil, Value::Nil])
    }

    #[test]
    fn a_policy_that_evicts_is_refused_with_the_way_out() {
        let why = found("maxmemory_policy:allkeys-lru\r\n").objection().unwrap();
        assert!(why.contains("allkeys-lru") && why.contains("noeviction"), "{why}");
        assert_eq!(found("maxmemory_policy:noeviction\r\n").objection(), None);
    }

    #[test]
    fn an_old_version_is_refused() {
        assert!(
            found("redis_version:6.2.14\r\n")
                .objection()
                .unwrap()
                .contains("6.2.14")
        );
        assert_eq!(found("redis_version:7.0.15\r\nrole:master\r\n").objection(), None);
        assert_eq!(found("redis_version:10.1.0\r\n").objection(), None);
    }

    #[test]
    fn what_may_not_be_asked_is_said_to_be_unknown() {
        let found = read(&[const { Value::Nil }; 8]);
        assert_eq!(found.objection(), None);
        assert!(found.durability(0).contains("not known"));
        assert!(found.warnings()[0].contains("INFO is forbidden"));
    }

    #[test]
    fn growth_ends_before_memory_does() {
        let room = found("used_memory:5\r\nmaxmemory:1000\r\n").room().unwrap();
        assert_eq!((room.used, room.growth_max, room.max), (5, 900, 1_000));
        assert_eq!(found("maxmemory:0\r\n").room(), None);
    }
}
