//! What to take from the lanes for an agent that asks for leases.
//!
//! One rule decides: an agent gets the best-placed jobs of all lanes that it can serve now. Where a job reserves
//! resources, jobs are taken one at a time, because each changes what fits; where it does not, a batch is taken at
//! once. Leases held ahead come from one named lane only, whose jobs the agent knows to be short.

use crate::agent::Offer;
use crate::lane::Lane;
use crate::matching::unmet;
use crate::resources::Resources;

/// Most leases that an agent may hold ahead of its open slots.
pub const AHEAD_MAX: usize = 256;

/// An agent that asks for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeker {
    /// What it offers, with what is free now.
    pub offer: Offer,
    /// Open slots.
    pub slots: usize,
    /// Leases wanted beyond the open slots.
    pub ahead: Option<Ahead>,
}

/// A wish for more leases than slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The only lane that they may come from.
    pub lane: Lane,
    /// How many.
    pub n: usize,
}

/// What to take: up to `n` of the best-placed members of these lanes together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneDemand {
    /// Lanes, in the order of their heads.
    pub lanes: Vec<Lane>,
    /// At most so many.
    pub n: usize,
}

/// Says what to take for one seeker, given the non-empty lanes; `None` when nothing fits.
///
/// The answer is right for one take: whoever takes calls again with what is left, until nothing fits.
pub fn plan_claim(seeker: &Seeker, lanes: &[Lane]) -> Option<LaneDemand> {
    if seeker.slots == 0 {
        return plan_ahead(seeker, lanes);
    }
    let fitting: Vec<Lane> = lanes
        .iter()
        .filter(|lane| unmet(lane, &seeker.offer).is_empty())
        .cloned()
        .collect();
    let unreserved = fitting
        .iter()
        .all(|lane| lane.resources() == Resources::default());
    let n = if unreserved { seeker.slots } else { 1 };
    if fitting.is_empty() {
        plan_ahead(seeker, lanes)
    } else {
        Some(LaneDemand { lanes: fitting, n })
    }
}

fn plan_ahead(seeker: &Seeker, lanes: &[Lane]) -> Option<LaneDemand> {
    let ahead = seeker.ahead.as_ref().filter(|ahead| ahead.n > 0)?;
    let lane = lanes.iter().find(|lane| **lane == ahead.lane)?;
    // What is held ahead waits for a slot, and with it for what the running jobs have reserved.
    let idle = Offer {
        free: seeker.offer.capacity,
        ..seeker.offer.clone()
    };
    unmet(lane, &idle).is_empty().then(|| LaneDemand {
        lanes: vec![lane.clone()],
        n: ahead.n.min(AHEAD_MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(cpu_millis: u32, requires: &[&str]) -> Lane {
        Lane::new(
            Resources {
                cpu_millis,
                memory_bytes: 0,
            },
            requires.iter().map(|t| t.parse().unwrap()),
        )
    }

    fn seeker(slots: usize, free_millis: u32) -> Seeker {
        let capacity = Resources {
            cpu_millis: 4000,
            memory_bytes: 0,
        };
        let free = Resources {
            cpu_millis: free_millis,
            memory_bytes: 0,
        };
        let labels = [("os".to_owned(), "linux".to_owned())].into();
        Seeker {
            offer: Offer {
                labels,
                capacity,
                free,
                draining: false,
            },
            slots,
            ahead: None,
        }
    }

    #[test]
    fn jobs_that_reserve_nothing_are_taken_in_one_batch_over_all_fitting_lanes() {
        let lanes = [lane(0, &["os = linux"]), lane(0, &["os = macos"]), lane(0, &[])];
        let demand = plan_claim(&seeker(3, 4000), &lanes).unwrap();
        assert_eq!(
            demand,
            LaneDemand {
                lanes: vec![lanes[0].clone(), lanes[2].clone()],
                n: 3
            }
        );
    }

    #[test]
    fn jobs_that_reserve_are_taken_one_at_a_time_and_only_where_they_fit() {
        let lanes = [lane(2000, &[]), lane(1000, &[])];
        assert_eq!(plan_claim(&seeker(3, 4000), &lanes).unwrap().n, 1);
        assert_eq!(
            plan_claim(&seeker(3, 1000), &lanes).unwrap().lanes,
            [lane(1000, &[])]
        );
        assert_eq!(plan_claim(&seeker(3, 500), &lanes), None);
    }

    #[test]
    fn leases_ahead_come_from_their_lane_only_and_after_the_slots_are_full() {
        let lanes = [lane(0, &[]), lane(0, &["os = linux"])];
        let ahead = Some(Ahead {
            lane: lanes[1].clone(),
            n: 1000,
        });
        let full = Seeker {
            ahead: ahead.clone(),
            ..seeker(0, 0)
        };
        assert_eq!(
            plan_claim(&full, &lanes),
            Some(LaneDemand {
                lanes: vec![lanes[1].clone()],
                n: AHEAD_MAX
            })
        );
        assert_eq!(plan_claim(&full, &lanes[..1]), None);
        assert_eq!(
            plan_claim(
                &Seeker {
                    ahead,
                    ..seeker(2, 0)
                },
                &lanes
            )
            .unwrap()
            .n,
            2
        );
    }

    #[test]
    fn a_draining_agent_gets_nothing() {
        let mut draining = seeker(1, 4000);
        draining.offer.draining = true;
        assert_eq!(plan_claim(&draining, &[lane(0, &[])]), None);
    }
}
