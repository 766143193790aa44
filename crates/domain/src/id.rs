//! Every identifier, typed, in one file.
//!
//! A job's id carries its pool, so any coordinator routes by the id alone. Names are validated once, here, at the
//! edge; a value of these types needs no second check.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest pool name.
pub const POOL_NAME_CHARS_MAX: usize = 20;
/// Longest agent, group and principal name.
pub const NAME_CHARS_MAX: usize = 63;
/// Characters of the ULID part of a job id.
const ULID_CHARS: usize = 26;

/// A text that breaks the rule of its kind of name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {rule}")]
pub struct BadName {
    /// The text as given.
    pub text: String,
    /// What it should have been, e.g. `pool name`.
    pub kind: &'static str,
    /// The rule in words.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadName { text: text.to_owned(), kind: $kind, rule: $rule })
                }
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A pool: a named space of jobs and agents. The unit of sharding.
    PoolName,
    "pool name",
    "a lower-case letter, then up to 19 lower-case letters, digits or hyphens",
    |text| is_name(text, POOL_NAME_CHARS_MAX, |c| c.is_ascii_lowercase(), |c| c == '-')
);
name!(
    /// The configured, durable name of an agent. Two processes may share one; their ids differ.
    AgentName,
    "agent name",
    "1 to 63 lower-case letters, digits, dots, underscores or hyphens, starting with a letter or digit",
    |text| is_name(text, NAME_CHARS_MAX, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), is_joint)
);
name!(
    /// One process start of an agent: a ULID.
    AgentId,
    "agent id",
    "26 lower-case ULID characters",
    is_ulid
);
name!(
    /// A concurrency group: at most its limit of jobs of the group are in a lane or running.
    GroupName,
    "group name",
    "1 to 63 lower-case letters, digits, dots, underscores or hyphens, starting with a letter or digit",
    |text| is_name(text, NAME_CHARS_MAX, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), is_joint)
);
name!(
    /// Who asked: the name of a token's owner, or a part of the system such as `agent:forge-1`.
    Principal,
    "principal",
    "1 to 80 printable ASCII characters without spaces",
    |text| (1..=80).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);
/// A job's id: `<pool>-<26 characters of lower-case ULID>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    pool: PoolName,
    ulid: String,
}

impl JobId {
    /// Joins a pool and a lower-case ULID.
    ///
    /// # Errors
    /// `ulid` is not 26 lower-case ULID characters.
    pub fn new(pool: PoolName, ulid: &str) -> Result<Self, BadName> {
        if is_ulid(ulid) {
            Ok(Self {
                pool,
                ulid: ulid.to_owned(),
            })
        } else {
            Err(bad_job_id(ulid))
        }
    }

    /// The pool that the job lives in.
    pub const fn pool(&self) -> &PoolName {
        &self.pool
    }

    /// The part that is unique within the pool: what records and ordered sets of the pool's space use.
    pub fn ulid(&self) -> &str {
        &self.ulid
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pool, self.ulid)
    }
}

impl FromStr for JobId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let (pool, ulid) = text.rsplit_once('-').ok_or_else(|| bad_job_id(text))?;
        Self::new(pool.parse().map_err(|_| bad_job_id(text))?, ulid).map_err(|_| bad_job_id(text))
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

fn bad_job_id(text: &str) -> BadName {
    BadName {
        text: text.to_owned(),
        kind: "job id",
        rule: "write it like default-01k2b3c4d5e6f7g8h9j0kmnpqr",
    }
}

fn is_ulid(text: &str) -> bool {
    // Crockford's base 32 leaves out i, l, o and u; the first character of 130 bits is at most 7.
    text.len() == ULID_CHARS
        && text.starts_with(|c: char| ('0'..='7').contains(&c))
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b.is_ascii_lowercase() && !b"ilou".contains(&b)))
}

const fn is_joint(c: char) -> bool {
    matches!(c, '.' | '_' | '-')
}

fn is_name(text: &str, chars_max: usize, first: fn(char) -> bool, joint: fn(char) -> bool) -> bool {
    text.len() <= chars_max
        && text.starts_with(first)
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || joint(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_splits_at_the_last_hyphen() {
        let id: JobId = "big-gpu-pool-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap();
        assert_eq!(
            (id.pool().as_str(), id.ulid()),
            ("big-gpu-pool", "01k2b3c4d5e6f7g8h9j0kmnpqr")
        );
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn names_outside_their_rule_are_refused_with_the_rule() {
        for text in ["", "Default", "9pool", "a-name-that-is-far-too-long", "pool/x"] {
            assert!(text.parse::<PoolName>().is_err(), "{text}");
        }
        for text in [
            "default-01K2B3C4D5E6F7G8H9J0KMNPQR",
            "default",
            "-01k2b3c4d5e6f7g8h9j0kmnpqr",
            "default-01k",
        ] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
        assert!("é".parse::<AgentName>().is_err());
    }
}
