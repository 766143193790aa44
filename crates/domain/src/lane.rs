//! Lanes: the ready queue of all jobs in a pool that any agent can or cannot run alike.
//!
//! A lane's name *is* its normalized requirements and rounded resources, written out, so there is no lane directory
//! that could disagree with the jobs (docs/decisions/0003). Two jobs are in one lane exactly when matching cannot
//! tell them apart.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::requirement::Constraint;
use crate::resources::Resources;

/// The family of ordered sets that hold the lanes.
pub const LANE_FAMILY: &str = "lane";

/// What a lane's jobs need: normalized, sorted, without repeats.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Lane {
    resources: Resources,
    constraints: BTreeSet<Constraint>,
}

impl Lane {
    /// The lane for these needs. Resources are rounded here and nowhere else.
    pub fn new(resources: Resources, constraints: impl IntoIterator<Item = Constraint>) -> Self {
        Self {
            resources: resources.rounded(),
            constraints: constraints.into_iter().collect(),
        }
    }

    /// What each job of the lane reserves.
    pub const fn resources(&self) -> Resources {
        self.resources
    }

    /// What the agent must be.
    pub fn constraints(&self) -> impl Iterator<Item = &Constraint> {
        self.constraints.iter()
    }

    /// The name of the ordered set that is this lane.
    pub fn set(&self) -> String {
        format!("{LANE_FAMILY}/{self}")
    }

    /// The lane whose ordered set has this name.
    pub fn of_set(set: &str) -> Option<Self> {
        set.strip_prefix(LANE_FAMILY)?.strip_prefix('/')?.parse().ok()
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cpu={};mem={}",
            self.resources.cpu_millis, self.resources.memory_bytes
        )?;
        self.constraints
            .iter()
            .try_for_each(|constraint| write!(f, ";{constraint}"))
    }
}

/// A text that is no lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a lane")]
pub struct NotALane(pub String);

impl FromStr for Lane {
    type Err = NotALane;

    fn from_str(text: &str) -> Result<Self, NotALane> {
        let mut parts = text.split(';');
        let mut number = |key: &str| {
            parts
                .next()?
                .strip_prefix(key)?
                .strip_prefix('=')?
                .parse::<u64>()
                .ok()
        };
        let not_a_lane = || NotALane(text.to_owned());
        let cpu_millis = number("cpu")
            .and_then(|n| n.try_into().ok())
            .ok_or_else(not_a_lane)?;
        let memory_bytes = number("mem").ok_or_else(not_a_lane)?;
        let constraints = parts
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| not_a_lane())?;
        Ok(Self {
            resources: Resources {
                cpu_millis,
                memory_bytes,
            },
            constraints,
        })
    }
}

impl Serialize for Lane {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lane {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(requires: &[&str]) -> Lane {
        let resources = Resources {
            cpu_millis: 1450,
            memory_bytes: 0,
        };
        Lane::new(resources, requires.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn order_and_spelling_of_requirements_do_not_make_another_lane() {
        let one = lane(&["gpu>=1", "os = linux"]);
        assert_eq!(one, lane(&["os=linux", "gpu >=  1", "os = linux"]));
        assert_eq!(one.set(), "lane/cpu=1500;mem=0;gpu >= 1;os = linux");
    }

    #[test]
    fn a_lane_is_read_back_from_its_set() {
        for requires in [
            &[][..],
            &["arch in (x86_64, aarch64)", "gpu exists", "os != macos"],
        ] {
            let lane = lane(requires);
            assert_eq!(Lane::of_set(&lane.set()), Some(lane));
        }
        assert_eq!(Lane::of_set("timers"), None);
        assert_eq!(Lane::of_set("lane/cpu=1;mem=x"), None);
    }
}
