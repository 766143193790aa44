//! What the owner of a machine says about their agent.
//!
//! A file is read strictly: a key that is not known is an error. What it leaves open is resolved here from the machine,
//! once, at the start; the fingerprint is of the resolved values.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZero;
use std::path::PathBuf;

use domain::spec::Cpus;
use domain::{AgentName, ByteSize, Resources, Span};
use protocol::limits::SLOTS_MAX;
use serde::Deserialize;

/// The configuration of one agent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Base URLs of coordinators of one pool; the next is tried when one cannot be reached.
    pub coordinators: Vec<String>,
    /// The token that lets an agent join the pool.
    pub join_token: JoinToken,
    /// The durable name of this agent, shown to people.
    pub name: AgentName,
    /// Where it keeps its files. One process at a time.
    pub data: PathBuf,
    /// How many jobs at once. Default: as many as there are cpus.
    #[serde(default)]
    pub slots: Option<usize>,
    /// Labels that jobs can require, beside the fixed ones.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Cpus that all jobs together may reserve. Default: those of the machine.
    #[serde(default)]
    pub cpus: Option<Cpus>,
    /// Memory that all jobs together may reserve. Default: that of the machine.
    #[serde(default)]
    pub memory: Option<ByteSize>,
    /// Take one job, and end when it is reported.
    #[serde(default)]
    pub once: bool,
    /// How long running jobs may go on when the agent is told to end. Default: as long as they take.
    #[serde(default)]
    pub drain_limit: Option<Span>,
}

/// A secret that never prints.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct JoinToken(pub String);

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(..)")
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is no TOML, or has a wrong key or value; the text says where.
    #[error("the configuration cannot be read: {0}")]
    Unreadable(#[from] toml::de::Error),
    /// The number of slots is out of range.
    #[error("an agent cannot have {slots} slots: give 1 to {SLOTS_MAX}")]
    Slots {
        /// The number.
        slots: usize,
    },
}

impl Config {
    /// Reads a configuration file's text.
    ///
    /// # Errors
    /// It is no configuration.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.resolve()?;
        Ok(config)
    }

    /// Fills in what the machine decides.
    ///
    /// # Errors
    /// The number of slots is out of range.
    pub fn resolve(&self) -> Result<Resolved, ConfigError> {
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        let slots = if self.once {
            1
        } else {
            self.slots.unwrap_or_else(|| cpus.min(SLOTS_MAX))
        };
        if !(1..=SLOTS_MAX).contains(&slots) {
            return Err(ConfigError::Slots { slots });
        }
        let machine_millis = u32::try_from(cpus.saturating_mul(1000)).unwrap_or(u32::MAX);
        let capacity = Resources {
            cpu_millis: self.cpus.map_or(machine_millis, Cpus::millis),
            memory_bytes: self.memory.map_or_else(machine_memory, |size| size.0),
        };
        Ok(Resolved {
            slots,
            capacity,
            labels: self.labels.clone(),
        })
    }
}

/// What a configuration comes to on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// How many jobs at once.
    pub slots: usize,
    /// What all of them together may reserve.
    pub capacity: Resources,
    /// The owner's labels.
    pub labels: BTreeMap<String, String>,
}

impl Resolved {
    /// All labels: the owner's, and those that the agent knows itself and nobody can claim otherwise.
    pub fn all_labels(&self, executor: &str) -> BTreeMap<String, String> {
        let isolation = if executor == "process" { "none" } else { executor };
        let known = [
            ("os", std::env::consts::OS),
            ("arch", std::env::consts::ARCH),
            ("executor", executor),
            ("isolation", isolation),
        ];
        let mut labels = self.labels.clone();
        labels.extend(known.map(|(key, value)| (key.to_owned(), value.to_owned())));
        labels
    }
}

fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
        coordinators = ["http://127.0.0.1:4711"]
        join_token = "secret"
        name = "forge-1"
        data = "/var/lib/hiveforge"
    "#;

    #[test]
    fn what_is_left_open_comes_from_the_machine() {
        let config = Config::from_toml(MINIMAL).unwrap();
        let resolved = config.resolve().unwrap();
        assert!(resolved.slots >= 1 && resolved.capacity.memory_bytes > 0);
        assert_eq!(resolved.all_labels("process")["isolation"], "none");
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn an_unknown_key_and_an_impossible_number_are_refused() {
        for wrong in ["slot = 2", "slots = 0", "slots = 5000", "memory = 12"] {
            assert!(
                Config::from_toml(&format!("{MINIMAL}\n{wrong}")).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn once_is_one_slot() {
        let config = Config::from_toml(&format!("{MINIMAL}\nonce = true\nslots = 8")).unwrap();
        assert_eq!(config.resolve().unwrap().slots, 1);
    }
}
