//! Who a peer is: the name that people gave it, and which life of it this is.
//!
//! Two lives of one coordinator must never be taken for each other: the library below decides by the whole name which
//! of two connections stays. So each start of a process, and each life of the `node` actor in it, is another identity.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::is_name;

/// Longest text of a life, in bytes.
const LIFE_BYTES_MAX: usize = 40;

/// One life of one coordinator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// What people call it.
    pub name: String,
    /// Which life of it: the process's number and the actor's.
    pub life: String,
}

impl Identity {
    pub(crate) fn new(name: &str, process: u64, incarnation: u64) -> Self {
        Self {
            name: name.to_owned(),
            life: format!("{process:016x}.{incarnation}"),
        }
    }

    /// Whether both are lives of one process.
    pub(crate) fn is_same_process(&self, other: &Self) -> bool {
        let process = |life: &str| life.split('.').next().map(str::to_owned);
        self.name == other.name && process(&self.life) == process(&other.life)
    }

    /// Whether it is what a coordinator could have made.
    pub(crate) fn is_sound(&self) -> bool {
        let is_of_life = |byte: u8| byte.is_ascii_hexdigit() || byte == b'.';
        let life = &self.life;
        is_name(&self.name)
            && !life.is_empty()
            && life.len() <= LIFE_BYTES_MAX
            && life.bytes().all(is_of_life)
    }
}

/// As the library below writes a name.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_life_is_another_identity_of_the_same_name() {
        let (one, other) = (Identity::new("c1", 7, 1), Identity::new("c1", 7, 2));
        assert_eq!(
            (one.name.as_str(), one.to_string().as_str()),
            ("c1", "c1@0000000000000007.1")
        );
        assert_ne!(one, other);
        assert!(one.is_same_process(&other) && !one.is_same_process(&Identity::new("c1", 8, 1)));
        assert!(one.is_sound());
        let life = "x@y".to_owned();
        assert!(!Identity { life, ..one }.is_sound());
    }
}
