//! The addresses that are dialled, and when each is dialled next. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use crate::config::PeerAddress;
use crate::identity::Identity;
use crate::links::Lost;
use crate::roster::{Sessions, Sight};

/// The pause after the first failure; it doubles with each more in a row.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The longest pause: how late a peer may be found that is back and does not dial itself.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A session that lasted this long ends a row of failures.
const STEADY: Duration = Duration::from_secs(5);
/// How long the one whose name sorts last leaves it to the other to dial.
const COURTESY: Duration = Duration::from_secs(1);
/// How long an address is kept that is no longer found.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Dials at once.
const DIALS_MAX: usize = 16;

/// All of them.
pub(crate) struct Places {
    process: u64,
    places: BTreeMap<PeerAddress, Place>,
    /// Whom there were sessions with at the last look.
    seen: BTreeSet<Identity>,
}

struct Place {
    who: Option<Identity>,
    is_self: bool,
    is_dialled: bool,
    /// Dials in a row without a steady session.
    failures: u32,
    next_at: Instant,
    /// Since when there is no session with who was there.
    alone_since: Option<Instant>,
    trouble: Option<Lost>,
    /// Since when it is no longer found.
    gone_since: Option<Instant>,
}

impl Places {
    pub(crate) const fn new(process: u64) -> Self {
        Self {
            process,
            places: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    /// These are the addresses now. One that is missing is kept for a while, but not dialled.
    pub(crate) fn are(&mut self, found: BTreeSet<PeerAddress>, now: Instant) {
        for (address, place) in &mut self.places {
            if found.contains(address) {
                place.gone_since = None;
            } else {
                place.gone_since.get_or_insert(now);
            }
        }
        self.places.retain(|_, place| {
            let gone_for = place.gone_since.map(|since| now.saturating_duration_since(since));
            gone_for.is_none_or(|gone_for| gone_for < FORGOTTEN_AFTER)
        });
        for address in found {
            self.places.entry(address).or_insert_with(|| Place::new(now));
        }
    }

    /// The addresses to dial now; each is dialled until [`Self::met`] or [`Self::failed`].
    pub(crate) fn start_dials(
        &mut self,
        own: &Identity,
        sessions: &Sessions,
        now: Instant,
    ) -> Vec<PeerAddress> {
        let mut room =
            DIALS_MAX.saturating_sub(self.places.values().filter(|place| place.is_dialled).count());
        let seen: BTreeSet<Identity> = sessions.up.iter().map(|up| up.peer.clone()).collect();
        // Somebody came, who may be the one that is missing at an address: that is soon known.
        let has_news = !seen.is_subset(&self.seen);
        self.seen = seen;
        let mut to_dial = Vec::new();
        for (address, place) in &mut self.places {
            place.look_at(sessions, now);
            if has_news {
                place.next_at = now;
            }
            if room > 0 && place.is_due(own, now) {
                place.is_dialled = true;
                room -= 1;
                to_dial.push(address.clone());
            }
        }
        to_dial
    }

    /// Somebody answered.
    pub(crate) fn met(&mut self, address: &PeerAddress, who: &Identity, is_self: bool, now: Instant) {
        let process = self.process;
        let Some(place) = self.places.get_mut(address) else {
            return;
        };
        place.who = Some(who.clone());
        place.is_self = is_self;
        place.trouble = None;
        place.pause(process, address, now);
    }

    /// Nobody answered, or in no way that is of use. Returns true if that is news.
    pub(crate) fn failed(&mut self, address: &PeerAddress, why: &str, now: Instant) -> bool {
        let process = self.process;
        let Some(place) = self.places.get_mut(address) else {
            return false;
        };
        place.pause(process, address, now);
        let is_news = place.trouble.is_none();
        let trouble = place.trouble.get_or_insert_with(|| Lost {
            since: now,
            why: String::new(),
        });
        why.clone_into(&mut trouble.why);
        is_news
    }

    pub(crate) fn sights(&self) -> Vec<Sight> {
        let sight = |(address, place): (&PeerAddress, &Place)| Sight {
            address: address.clone(),
            who: place.who.clone(),
            trouble: place.trouble.clone(),
            is_self: place.is_self,
        };
        self.places.iter().map(sight).collect()
    }
}

impl Place {
    fn new(now: Instant) -> Self {
        Self {
            who: None,
            is_self: false,
            is_dialled: false,
            failures: 0,
            next_at: now,
            alone_since: None,
            trouble: None,
            gone_since: None,
        }
    }

    /// Takes note of whether there is a session with who was here.
    fn look_at(&mut self, sessions: &Sessions, now: Instant) {
        let who = self.who.as_ref();
        match who.and_then(|who| sessions.with(&who.name)) {
            None => drop(self.alone_since.get_or_insert(now)),
            Some(up) => {
                self.alone_since = None;
                self.trouble = None;
                if now.saturating_duration_since(up.since) >= STEADY {
                    self.failures = 0;
                    self.next_at = now;
                }
            }
        }
    }

    fn is_due(&self, own: &Identity, now: Instant) -> bool {
        let is_alone = self.alone_since.is_some_and(|since| {
            let leaves_it = self.who.as_ref().is_some_and(|who| own.name > who.name);
            let courtesy = if leaves_it { COURTESY } else { Duration::ZERO };
            now.saturating_duration_since(since) >= courtesy
        });
        is_alone && !self.is_self && !self.is_dialled && self.gone_since.is_none() && now >= self.next_at
    }

    fn pause(&mut self, process: u64, address: &PeerAddress, now: Instant) {
        self.is_dialled = false;
        self.failures = self.failures.saturating_add(1);
        let doubled = PAUSE_FIRST.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        let jitter = spread(process, &address.to_string(), u64::from(self.failures));
        self.next_at = now + doubled.min(PAUSE_MAX).mul_f64(1.0 - jitter / 2.0);
    }
}

/// A number from 0 to 1 that differs from process to process, and is always the same for the same.
pub(crate) fn spread(process: u64, what: &str, n: u64) -> f64 {
    let mut hasher = DefaultHasher::new();
    (process, what, n).hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> PeerAddress {
        text.parse().unwrap()
    }

    fn places(listed: &[&str], now: Instant) -> Places {
        let mut places = Places::new(7);
        places.are(listed.iter().map(|text| address(text)).collect(), now);
        places
    }

    fn own() -> Identity {
        Identity::new("b", 1, 1)
    }

    #[test]
    fn a_dead_address_is_dialled_less_and_less_often_and_at_least_every_thirty_seconds() {
        let mut now = Instant::now();
        let mut places = places(&["a:1"], now);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let begun = now;
            while places.start_dials(&own(), &Sessions::default(), now).is_empty() {
                now += Duration::from_millis(10);
            }
            pauses.push(now - begun);
            assert_eq!(places.failed(&address("a:1"), "refused", now), pauses.len() == 1);
        }
        assert!(
            pauses[1] <= PAUSE_FIRST && pauses[11] <= PAUSE_MAX + Duration::from_millis(10),
            "{pauses:?}"
        );
        assert!(pauses[11] >= PAUSE_MAX / 2 && pauses[4] > pauses[1], "{pauses:?}");
    }

    #[test]
    fn itself_is_dialled_once_and_who_sorts_first_dials_first() {
        let now = Instant::now();
        let none = Sessions::default();
        let mut places = places(&["a:1", "b:1", "c:1"], now);
        assert_eq!(places.start_dials(&own(), &none, now).len(), 3);
        assert!(
            places.start_dials(&own(), &none, now).is_empty(),
            "each is dialled once at a time"
        );
        for name in ["a", "b", "c"] {
            let who = Identity::new(name, 1, 1);
            places.met(&address(&format!("{name}:1")), &who, name == "b", now);
        }
        let soon = now + PAUSE_FIRST;
        assert_eq!(places.start_dials(&own(), &none, soon), [address("c:1")]);
        assert_eq!(
            places.start_dials(&own(), &none, now + COURTESY),
            [address("a:1")]
        );
    }

    #[test]
    fn what_a_name_no_longer_means_is_not_dialled_and_forgotten_in_the_end() {
        let now = Instant::now();
        let mut places = places(&["a:1"], now);
        places.are(BTreeSet::new(), now);
        assert!(places.start_dials(&own(), &Sessions::default(), now).is_empty());
        assert_eq!(places.sights().len(), 1);
        places.are(BTreeSet::new(), now + FORGOTTEN_AFTER);
        assert!(places.sights().is_empty());
    }

    #[test]
    fn jitter_lies_between_nothing_and_one_and_differs_between_processes() {
        let values = (0..100).map(|process| spread(process, "a:1", 1));
        let (low, high) = values.fold((1.0_f64, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        assert!(
            (0.0..0.3).contains(&low) && (0.7..=1.0).contains(&high),
            "{low} {high}"
        );
    }
}
