//! What the rounds of a pass ask the nexus for: of many waiting claims a few first, and more as long as there is enough for
//! those. One new job wakes everybody, and costs no more than the first round.

use domain::Lane;
use domain::plan::{LaneDemand, Seeker, plan_claim};

/// Claims that the first round of a pass asks for.
pub(super) const FIRST: usize = 32;
/// By how much a round asks for more than the one before, when everybody in that one was served.
const GROWTH: usize = 4;

/// What to take in one round, and for which of the seekers: the first so many that anything fits. Behind the slots of
/// all comes what is held ahead, so that nobody keeps a job that another agent has a slot for.
pub(super) fn demands(seekers: &[&Seeker], lanes: &[Lane], wave: usize) -> Vec<(usize, LaneDemand)> {
    let mut demands = Vec::new();
    let mut ahead = Vec::new();
    for (index, seeker) in seekers.iter().enumerate() {
        let Some(demand) = plan_claim(seeker, lanes) else {
            continue;
        };
        if demands.len() == wave {
            // Somebody behind has a slot.
            return demands;
        }
        if seeker.slots == 0 {
            ahead.push((index, demand));
            continue;
        }
        // Where a demand does not ask for all slots, what else fits depends on what it brings.
        let filled = (demand.n == seeker.slots).then(|| Seeker {
            slots: 0,
            ..(*seeker).clone()
        });
        demands.push((index, demand));
        ahead.extend(filled.and_then(|filled| Some((index, plan_claim(&filled, lanes)?))));
    }
    demands.append(&mut ahead);
    demands
}

/// How many claims the next round asks for, after one of `asked` claims that took `taken` of the jobs it wanted; none when
/// there is nothing for anybody any more.
///
/// A round that took what nobody can read or claim is followed by another: it stood before others. And so is one that
/// took nothing but was as large as its wave: others were faster, and somebody behind may want of other lanes.
pub(super) fn next(wave: usize, asked: usize, wanted: usize, taken: usize) -> Option<usize> {
    if taken == 0 && asked != wave {
        return None;
    }
    let is_larger = taken == 0 || taken >= wanted;
    Some(if is_larger {
        wave.saturating_mul(GROWTH)
    } else {
        wave
    })
}

#[cfg(test)]
mod tests {
    use domain::plan::Ahead;
    use domain::{Offer, Resources};

    use super::*;

    fn seeker(slots: usize, ahead: Option<usize>) -> Seeker {
        let offer = Offer {
            labels: domain::requirement::Labels::default(),
            capacity: Resources::default(),
            free: Resources::default(),
            draining: false,
        };
        let ahead = ahead.map(|n| Ahead { lane: lane(), n });
        Seeker { offer, slots, ahead }
    }

    fn lane() -> Lane {
        Lane::new(Resources::default(), [])
    }

    #[test]
    fn what_is_held_ahead_is_taken_together_with_the_slots_but_behind_those_of_all() {
        let check = |seekers: &[&Seeker], expected: &[(usize, usize)]| {
            let found: Vec<_> = demands(seekers, &[lane()], FIRST)
                .iter()
                .map(|(i, demand)| (*i, demand.n))
                .collect();
            assert_eq!(found, expected);
        };
        let (greedy, modest, full) = (seeker(2, Some(10)), seeker(3, None), seeker(0, Some(4)));
        check(&[&greedy, &modest], &[(0, 2), (1, 3), (0, 10)]);
        check(&[&full, &seeker(0, None)], &[(0, 4)]);
    }

    #[test]
    fn a_round_asks_for_no_more_than_its_wave_and_for_nothing_ahead_of_somebodys_slot() {
        let (one, ahead) = (seeker(1, None), seeker(1, Some(5)));
        let crowd: Vec<&Seeker> = std::iter::once(&ahead)
            .chain(std::iter::repeat_n(&one, 100))
            .collect();
        let found: Vec<_> = demands(&crowd, &[lane()], 3);
        assert_eq!(
            found.iter().map(|(i, d)| (*i, d.n)).collect::<Vec<_>>(),
            [(0, 1), (1, 1), (2, 1)]
        );
        let all = demands(&crowd, &[lane()], 200);
        assert_eq!(
            (all.len(), all.last().map(|(i, d)| (*i, d.n))),
            (102, Some((0, 5)))
        );
        assert_eq!(demands(&crowd, &[], 3), []);
    }

    #[test]
    fn a_pass_goes_on_as_long_as_there_may_be_something_for_anybody() {
        // Nothing was there, and everybody had been asked.
        assert_eq!(next(32, 31, 31, 0), None);
        // Nothing was there any more for the first ones; those behind may want of other lanes.
        assert_eq!(next(32, 32, 32, 0), Some(32 * GROWTH));
        // There is less than was wanted, or just as much.
        assert_eq!(next(32, 32, 64, 63), Some(32));
        assert_eq!(next(32, 32, 64, 64), Some(32 * GROWTH));
    }
}
