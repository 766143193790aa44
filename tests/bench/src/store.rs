//! The Redis under the coordinators, and what it says of its own work: processor time, memory, bytes, commands.
//!
//! Its append-only file is never rewritten meanwhile, so that its growth is what was appended.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::ValueEnum;
use servers::{AppendOnly, Redis, RedisOptions};

/// Commands that change something, as far as scripts of ours could use them. Inner calls of scripts are counted, too.
const WRITES: [&str; 17] = [
    "set", "mset", "append", "setrange", "del", "unlink", "zadd", "zrem", "zpopmin", "rpush", "lpush",
    "ltrim", "hset", "hdel", "hincrby", "incrby", "xadd",
];
/// What is published, which is no write: nothing is kept of it.
const PUBLISHES: [&str; 2] = ["publish", "spublish"];

/// What the append-only file promises.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Appending {
    /// There is none: a restart loses everything
    No,
    /// Synced once a second
    Everysec,
    /// Synced before each answer
    Always,
}

impl Appending {
    pub(crate) const ALL: [Self; 3] = [Self::No, Self::Everysec, Self::Always];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Everysec => "everysec",
            Self::Always => "always",
        }
    }
}

/// A Redis of its own. Dropping it ends it.
pub(crate) struct Store {
    redis: Redis,
}

/// What a Redis has done since it was started, or between two moments.
#[derive(Clone, Default)]
pub(crate) struct Work {
    /// Microseconds of the thread that runs commands.
    pub(crate) cpu_us: f64,
    /// Bytes of all keys and values, with what they need around them.
    pub(crate) memory_bytes: f64,
    /// Bytes that came in and went out.
    pub(crate) net_bytes: f64,
    /// Bytes of the append-only file.
    pub(crate) appended_bytes: f64,
    /// Scripts that were called.
    pub(crate) scripts: f64,
    /// Commands, those of scripts included.
    pub(crate) commands: f64,
    /// Commands that changed something, those of scripts included.
    pub(crate) writes: f64,
    /// Hints that were published.
    pub(crate) hints: f64,
}

impl Store {
    pub(crate) fn start(appending: Appending) -> anyhow::Result<Self> {
        let append_only = match appending {
            Appending::No => AppendOnly::No,
            Appending::Everysec => AppendOnly::EverySecond,
            Appending::Always => AppendOnly::Always,
        };
        let redis = Redis::start(RedisOptions {
            append_only,
            extra: vec!["auto-aof-rewrite-percentage 0".to_owned()],
            ..RedisOptions::default()
        })?;
        Ok(Self { redis })
    }

    pub(crate) fn url(&self) -> String {
        self.redis.url()
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.redis.addr()
    }

    /// The digest by which a script can be called from now on.
    pub(crate) fn load(&self, script: &str) -> anyhow::Result<String> {
        Ok(self.redis.command(&["SCRIPT", "LOAD", script])?.text())
    }

    /// What it has done so far.
    pub(crate) fn work(&self) -> anyhow::Result<Work> {
        let (stats, memory) = (self.redis.info("stats")?, self.redis.info("memory")?);
        let (persistence, by_command) = (self.redis.info("persistence")?, self.redis.info("commandstats")?);
        let net = number(&stats, "total_net_input_bytes")? + number(&stats, "total_net_output_bytes")?;
        let calls: BTreeMap<&str, f64> = by_command
            .iter()
            .filter_map(|(name, text)| Some((name.strip_prefix("cmdstat_")?, calls(text)?)))
            .collect();
        let sum = |names: &[&str]| names.iter().filter_map(|name| calls.get(name)).sum::<f64>();
        Ok(Work {
            cpu_us: self.redis.cpu_micros()? as f64,
            memory_bytes: number(&memory, "used_memory")?,
            net_bytes: net,
            // Only said where there is such a file.
            appended_bytes: number(&persistence, "aof_current_size").unwrap_or_default(),
            scripts: sum(&["evalsha", "eval"]),
            commands: number(&stats, "total_commands_processed")?,
            writes: sum(&WRITES),
            hints: sum(&PUBLISHES),
        })
    }
}

impl Work {
    /// What was done after `before`, for each of so many jobs.
    pub(crate) fn each_since(&self, before: &Self, jobs: usize) -> Self {
        let each = |now: f64, before: f64| (now - before) / jobs as f64;
        Self {
            cpu_us: each(self.cpu_us, before.cpu_us),
            memory_bytes: each(self.memory_bytes, before.memory_bytes),
            net_bytes: each(self.net_bytes, before.net_bytes),
            appended_bytes: each(self.appended_bytes, before.appended_bytes),
            scripts: each(self.scripts, before.scripts),
            commands: each(self.commands, before.commands),
            writes: each(self.writes, before.writes),
            hints: each(self.hints, before.hints),
        }
    }
}

fn number(fields: &BTreeMap<String, String>, name: &str) -> anyhow::Result<f64> {
    let text = fields
        .get(name)
        .with_context(|| format!("INFO says nothing of {name}"))?;
    text.trim().parse().with_context(|| format!("{name} is `{text}`"))
}

/// The first of `calls=12,usec=34,..`.
fn calls(text: &str) -> Option<f64> {
    text.split(',').next()?.strip_prefix("calls=")?.parse().ok()
}
