//! The job spec: what to run and what it needs, declarative and immutable.
//!
//! A spec is read once, at the edge, from TOML or JSON with the same names. Unknown fields are errors and every error
//! says where it is. What passes [`JobSpec::from_toml`] or [`JobSpec::from_json`] is valid, so nothing behind the edge
//! checks again. Its canonical encoding ([`JobSpec::canonical`]) is what is stored and hashed.

mod artifact;
mod canonical;
mod check;
mod error;
mod locate;
mod quantity;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::artifact::ArtifactRule;
pub use self::canonical::{CANONICAL_VERSION, UnreadableSpec};
pub use self::check::{
    ARGUMENTS_MAX, ENTRIES_MAX, LOG_LIMIT_MAX, MAX_ATTEMPTS_MAX, PRIORITY_MAX, SPEC_BYTES_MAX, TIMEOUT_MAX,
    is_safe_path,
};
pub use self::error::SpecError;
pub use self::quantity::Cpus;

use crate::digest::Digest;
use crate::id::GroupName;
use crate::job::Group;
use crate::requirement::Constraint;
use crate::resources::Resources;
use crate::time::Timestamp;
use crate::units::{ByteSize, Span};

/// How long an attempt may run when the spec does not say.
pub const TIMEOUT_DEFAULT: Span = Span::from_secs(3600);
/// What runs a script when the spec does not say.
const SHELL_DEFAULT: [&str; 3] = ["/bin/sh", "-eu", "-c"];
/// How many bytes of log an attempt may write when the spec does not say.
pub const LOG_LIMIT_DEFAULT: ByteSize = ByteSize(64 << 20);

/// What to run and what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a job spec: a table of fields")]
pub struct JobSpec {
    /// A name for people. Default: the program's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Program and arguments. Exactly one of `command` and `script` is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// A script, handed to `shell` on its command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// What runs the script; the script is its last argument. Default: `/bin/sh -eu -c`.
    #[serde(default, skip_serializing_if = "is_shell_default")]
    pub shell: Vec<String>,
    /// Environment variables, beside the fixed ones that every job gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Container image; needs an agent with a container engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How long an attempt may run.
    #[serde(default = "timeout_default", skip_serializing_if = "is_timeout_default")]
    pub timeout: Span,
    /// Upper bounds, and what is reserved on the agent.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Label constraints on the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Constraint>,
    /// Files put into the work directory before the start: path to blob digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Input>,
    /// A git commit to check out; needs an agent that can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Files kept after the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactRule>,
    /// How many attempts may be charged when the machinery fails.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub max_attempts: u32,
    /// -100 to 100; higher goes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i8,
    /// Not claimable before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What the job may reach. Absent: what the agent's executor gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Names of secrets; needs an agent that can deliver them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// A concurrency group.
    #[serde(
        default,
        deserialize_with = "strict_group",
        skip_serializing_if = "Option::is_none"
    )]
    pub group: Option<Group>,
    /// Key-value notes for people; matching does not look at them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Upper bounds of one attempt. `cpus` and `memory` are reserved on the agent, so that what runs side by side fits; how
/// hard they bound a single run is the executor's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table of limits such as { cpus = 2, memory = \"4GiB\" }"
)]
pub struct Limits {
    /// Cpus, in steps of a thousandth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// The largest file that the job may write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<ByteSize>,
    /// Log; what is over it is dropped and counted. Default 64 MiB, at most 512 MiB.
    #[serde(default, skip_serializing_if = "is_log_default")]
    pub log: Option<ByteSize>,
}

/// One input file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an input such as { digest = \"..\" }")]
pub struct Input {
    /// Its content, as the vault names it.
    pub digest: Digest,
    /// Whether the file may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// A git source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a source such as { git = \"..\", commit = \"..\" }"
)]
pub struct Source {
    /// Repository URL.
    pub git: String,
    /// The exact commit, 40 hex digits.
    pub commit: String,
}

/// What a job may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing; needs an agent that can enforce it.
    None,
    /// Whatever the agent's machine reaches.
    Full,
}

impl JobSpec {
    /// The spec of one command, everything else by default. [`Self::check`] it before use.
    pub fn command(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let command = argv.into_iter().map(Into::into).collect();
        Self {
            command,
            ..Self::empty()
        }
    }

    fn empty() -> Self {
        Self {
            name: None,
            command: Vec::new(),
            script: None,
            shell: Vec::new(),
            env: BTreeMap::new(),
            image: None,
            timeout: TIMEOUT_DEFAULT,
            limits: Limits::default(),
            requires: Vec::new(),
            inputs: BTreeMap::new(),
            source: None,
            artifacts: Vec::new(),
            max_attempts: 1,
            priority: 0,
            not_before: None,
            network: None,
            secrets: Vec::new(),
            group: None,
            labels: BTreeMap::new(),
        }
    }

    /// Program and arguments, the script's shell included.
    pub fn argv(&self) -> Vec<String> {
        let Some(script) = &self.script else {
            return self.command.clone();
        };
        let mut argv = if self.shell.is_empty() {
            SHELL_DEFAULT.map(str::to_owned).to_vec()
        } else {
            self.shell.clone()
        };
        argv.push(script.clone());
        argv
    }

    /// The name for lists: the given one, or the program's.
    pub fn display_name(&self) -> String {
        let program = self
            .command
            .first()
            .map_or("script", |path| path.rsplit('/').next().unwrap_or(path));
        self.name
            .clone()
            .unwrap_or_else(|| program.chars().take(check::NAME_CHARS_MAX).collect())
    }

    /// What an attempt reserves on its agent.
    pub fn resources(&self) -> Resources {
        Resources {
            cpu_millis: self.limits.cpus.map_or(0, Cpus::millis),
            memory_bytes: self.limits.memory.map_or(0, |size| size.0),
        }
    }

    /// The constraints on the agent: the stated ones, and those that other fields imply.
    ///
    /// A field that not every agent can honour implies the label of the agents that can, so a job is never run weaker
    /// than it asks: it waits, and `why` names the label.
    pub fn constraints(&self) -> Vec<Constraint> {
        let implied = [
            (self.image.is_some(), "can.image"),
            (self.source.is_some(), "can.source"),
            (!self.secrets.is_empty(), "can.secrets"),
            (self.network == Some(Network::None), "can.network-none"),
            (self.limits.pids.is_some(), "can.limit-pids"),
        ];
        let implied = implied
            .into_iter()
            .filter(|(asked, _)| *asked)
            .map(|(_, label)| Constraint::exists(label));
        self.requires.iter().cloned().chain(implied).collect()
    }

    /// How many bytes of log an attempt may write.
    pub fn log_limit(&self) -> ByteSize {
        self.limits.log.unwrap_or(LOG_LIMIT_DEFAULT)
    }
}

impl Limits {
    /// Says whether nothing is left to write: no limit, or only the one that holds anyway.
    fn is_empty(&self) -> bool {
        let Self {
            cpus,
            memory,
            pids,
            disk,
            log,
        } = self;
        cpus.is_none() && memory.is_none() && pids.is_none() && disk.is_none() && is_log_default(log)
    }
}

fn is_shell_default(shell: &Vec<String>) -> bool {
    shell.is_empty() || *shell == SHELL_DEFAULT
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn is_log_default(log: &Option<ByteSize>) -> bool {
    log.is_none_or(|size| size == LOG_LIMIT_DEFAULT)
}

/// Reads a group as strictly as the rest of a spec; the type itself is also recorded, and records are tolerant.
fn strict_group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Group>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        deny_unknown_fields,
        expecting = "a group such as { name = \"..\", limit = 1 }"
    )]
    struct Strict {
        name: GroupName,
        limit: u32,
    }
    let group = Option::<Strict>::deserialize(deserializer)?;
    Ok(group.map(|Strict { name, limit }| Group { name, limit }))
}

const fn timeout_default() -> Span {
    TIMEOUT_DEFAULT
}

fn is_timeout_default(timeout: &Span) -> bool {
    *timeout == TIMEOUT_DEFAULT
}

const fn one() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
const fn is_one(n: &u32) -> bool {
    *n == 1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
const fn is_zero(n: &i8) -> bool {
    *n == 0
}
