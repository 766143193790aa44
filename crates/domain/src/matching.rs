//! Who may run what: one pure function, used by dispatch, by submit-time warnings and by `why`, so they cannot
//! disagree.
//!
//! It returns *all* unmet requirements, not the first: nobody should have to fix them one at a time. What is merely
//! busy is told apart from what can never be met.

use serde::{Deserialize, Serialize};

use crate::agent::Offer;
use crate::lane::Lane;
use crate::requirement::Constraint;
use crate::units::ByteSize;

/// One reason why an agent does not take a job of a lane now.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Unmet {
    /// A label constraint does not hold.
    Label {
        /// What is required.
        required: Constraint,
        /// The agent's value of that label, if it has the label.
        found: Option<String>,
    },
    /// The agent does not have so many cpus, even when idle. Thousandths.
    Cpus {
        /// What the job reserves.
        required: u32,
        /// What the agent has.
        capacity: u32,
    },
    /// The agent does not have so much memory, even when idle.
    Memory {
        /// What the job reserves.
        required: ByteSize,
        /// What the agent has.
        capacity: ByteSize,
    },
    /// The agent could, but other jobs hold what is needed.
    Busy,
    /// The agent was told to take no more jobs.
    Draining,
}

impl Unmet {
    /// Says whether waiting can help: the agent fits, it is only busy or draining.
    pub const fn passes_with_time(&self) -> bool {
        match self {
            Self::Busy | Self::Draining => true,
            Self::Label { .. } | Self::Cpus { .. } | Self::Memory { .. } => false,
        }
    }
}

/// Returns every reason why this agent does not take a job of this lane now; empty when it does.
pub fn unmet(lane: &Lane, offer: &Offer) -> Vec<Unmet> {
    let needs = lane.resources();
    let mut reasons: Vec<Unmet> = lane
        .constraints()
        .filter(|constraint| !constraint.met_by(&offer.labels))
        .map(|constraint| Unmet::Label {
            required: constraint.clone(),
            found: offer.labels.get(&constraint.key).cloned(),
        })
        .collect();
    if needs.cpu_millis > offer.capacity.cpu_millis {
        reasons.push(Unmet::Cpus {
            required: needs.cpu_millis,
            capacity: offer.capacity.cpu_millis,
        });
    }
    if needs.memory_bytes > offer.capacity.memory_bytes {
        reasons.push(Unmet::Memory {
            required: needs.memory(),
            capacity: offer.capacity.memory(),
        });
    }
    if needs.fits_in(offer.capacity) && !needs.fits_in(offer.free) {
        reasons.push(Unmet::Busy);
    }
    if offer.draining {
        reasons.push(Unmet::Draining);
    }
    reasons
}

/// Says whether this agent could ever run a job of this lane, once idle and not draining.
pub fn could_ever(lane: &Lane, offer: &Offer) -> bool {
    unmet(lane, offer).iter().all(Unmet::passes_with_time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resources::Resources;

    fn offer(free_millis: u32) -> Offer {
        Offer {
            labels: [("os".to_owned(), "linux".to_owned())].into(),
            capacity: Resources {
                cpu_millis: 4000,
                memory_bytes: 1 << 30,
            },
            free: Resources {
                cpu_millis: free_millis,
                memory_bytes: 1 << 30,
            },
            draining: false,
        }
    }

    fn lane(cpu_millis: u32, requires: &[&str]) -> Lane {
        Lane::new(
            Resources {
                cpu_millis,
                memory_bytes: 0,
            },
            requires.iter().map(|t| t.parse().unwrap()),
        )
    }

    #[test]
    fn every_unmet_requirement_is_named_at_once() {
        let reasons = unmet(&lane(8000, &["os = macos", "gpu >= 1"]), &offer(4000));
        let text = serde_json::to_string(&reasons).unwrap();
        assert_eq!(
            text,
            r#"[{"kind":"label","required":"gpu >= 1","found":null},{"kind":"label","required":"os = macos","found":"linux"},{"kind":"cpus","required":8000,"capacity":4000}]"#
        );
    }

    #[test]
    fn busy_is_not_never() {
        assert_eq!(unmet(&lane(2000, &["os = linux"]), &offer(1000)), [Unmet::Busy]);
        assert!(could_ever(&lane(2000, &["os = linux"]), &offer(1000)));
        assert!(!could_ever(&lane(5000, &[]), &offer(4000)));
    }

    proptest! {
        #[test]
        fn an_agent_that_takes_a_job_could_ever_run_it(cpu in 0u32..9000, free in 0u32..=4000, draining: bool) {
            let offer = Offer { draining, ..offer(free) };
            let lane = lane(cpu, &["os = linux"]);
            if unmet(&lane, &offer).is_empty() {
                prop_assert!(could_ever(&lane, &offer) && lane.resources().fits_in(offer.free) && !draining);
            }
        }
    }
}
