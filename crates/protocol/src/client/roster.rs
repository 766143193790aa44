//! The coordinators that are known, what was heard of each, and which of them is asked next.
//!
//! Requests stay with one coordinator while it is good. When it fails, another good one is chosen at random, so that the
//! clients of a dead coordinator spread over all that are left; and because that leaves a restarted one without clients,
//! a new choice is made now and then without need. Pure: time is an argument, and chance comes from a seed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::target::{Base, Peer};

/// How long a coordinator that failed is left alone while there is a better one.
pub(super) const BAD_FOR: Duration = Duration::from_secs(2);
/// How long requests stay with one coordinator before a new choice is made; less up to half of it, by chance.
pub(super) const SETTLED_FOR: Duration = Duration::from_secs(600);

/// See the module.
pub(super) struct Roster {
    members: Vec<Member>,
    current: Option<Arc<Peer>>,
    choose_at: Option<Instant>,
    chance: Chance,
}

struct Member {
    peer: Arc<Peer>,
    heard_at: Option<Instant>,
    failed_at: Option<Instant>,
}

impl Member {
    fn is_good(&self, now: Instant) -> bool {
        self.failed_at.is_none_or(|at| now >= at + BAD_FOR)
    }
}

impl Roster {
    /// A roster of the coordinators that need no look-up.
    pub(super) fn new(bases: &[Arc<Base>], seed: u64) -> Self {
        let mut roster = Self {
            members: Vec::new(),
            current: None,
            choose_at: None,
            chance: Chance(seed),
        };
        for base in bases {
            if let Some(address) = base.fixed() {
                roster.resolved(base, &[address]);
            }
        }
        roster
    }

    /// A name has these addresses now. What was heard of those that it had before is kept.
    pub(super) fn resolved(&mut self, base: &Arc<Base>, addresses: &[std::net::SocketAddr]) {
        let is_of = |member: &Member| member.peer.base.text == base.text;
        self.members
            .retain(|member| !is_of(member) || addresses.contains(&member.peer.address));
        for address in addresses {
            let known = |member: &Member| is_of(member) && member.peer.address == *address;
            if !self.members.iter().any(known) {
                self.members.push(Member {
                    peer: Peer::new(base, *address),
                    heard_at: None,
                    failed_at: None,
                });
            }
        }
        let members = &self.members;
        self.current
            .take_if(|peer| !members.iter().any(|member| Arc::ptr_eq(&member.peer, peer)));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none of which anything good is thought.
    pub(super) fn is_hopeless(&self, now: Instant) -> bool {
        !self.members.iter().any(|member| member.is_good(now))
    }

    /// The one that requests go to, if a choice was made.
    pub(super) fn current(&self) -> Option<&Arc<Peer>> {
        self.current.as_ref()
    }

    /// The one to ask first. None only when none is known.
    pub(super) fn first(&mut self, now: Instant) -> Option<Arc<Peer>> {
        let is_due = self.choose_at.is_none_or(|at| now >= at);
        let stays = self.current.as_ref().filter(|peer| self.is_good(peer, now));
        if let Some(peer) = stays
            && !is_due
        {
            return Some(Arc::clone(peer));
        }
        let chosen = self.good(&[], now).or_else(|| self.any(&[]))?;
        self.choose(&chosen, now);
        Some(chosen)
    }

    /// A good one beside these, by chance.
    pub(super) fn good(&mut self, beside: &[Arc<Peer>], now: Instant) -> Option<Arc<Peer>> {
        let good: Vec<&Arc<Peer>> = self
            .members
            .iter()
            .filter(|member| member.is_good(now))
            .map(|member| &member.peer)
            .filter(|peer| !beside.iter().any(|other| Arc::ptr_eq(other, peer)))
            .collect();
        let index = self.chance.below(good.len())?;
        good.get(index).map(|peer| Arc::clone(peer))
    }

    /// Any beside these; of the bad ones, the one that has been left alone for longest.
    pub(super) fn any(&self, beside: &[Arc<Peer>]) -> Option<Arc<Peer>> {
        let others = self
            .members
            .iter()
            .filter(|member| !beside.iter().any(|other| Arc::ptr_eq(other, &member.peer)));
        others
            .min_by_key(|member| member.failed_at)
            .map(|member| Arc::clone(&member.peer))
    }

    /// It answered, and in earnest.
    pub(super) fn heard(&mut self, peer: &Arc<Peer>, now: Instant) {
        if let Some(member) = self.member(peer) {
            member.heard_at = Some(now);
            member.failed_at = None;
        }
    }

    /// It cannot be reached, is silent, or says itself that another should be asked.
    pub(super) fn failed(&mut self, peer: &Arc<Peer>, now: Instant) {
        if let Some(member) = self.member(peer) {
            member.failed_at = Some(now);
        }
        if self
            .current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, peer))
            && let Some(better) = self.good(&[], now)
        {
            self.choose(&better, now);
        }
    }

    /// Requests go to this one from now on, since it answered where the chosen one did not.
    pub(super) fn settle(&mut self, peer: &Arc<Peer>, now: Instant) {
        if self
            .current
            .as_ref()
            .is_none_or(|current| !Arc::ptr_eq(current, peer))
        {
            self.choose(peer, now);
        }
    }

    /// When it was heard of last.
    pub(super) fn heard_at(&self, peer: &Arc<Peer>) -> Option<Instant> {
        let mut members = self.members.iter();
        members.find(|member| Arc::ptr_eq(&member.peer, peer))?.heard_at
    }

    /// When it failed last, if it has not been heard of since.
    pub(super) fn failed_at(&self, peer: &Arc<Peer>) -> Option<Instant> {
        let mut members = self.members.iter();
        members.find(|member| Arc::ptr_eq(&member.peer, peer))?.failed_at
    }

    /// Whether it has not failed lately.
    pub(super) fn is_good(&self, peer: &Arc<Peer>, now: Instant) -> bool {
        let mut members = self.members.iter();
        members.any(|member| Arc::ptr_eq(&member.peer, peer) && member.is_good(now))
    }

    /// A part of `span`, by chance.
    pub(super) fn part_of(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.chance.fraction())
    }

    fn choose(&mut self, peer: &Arc<Peer>, now: Instant) {
        self.current = Some(Arc::clone(peer));
        self.choose_at = Some(now + SETTLED_FOR - self.chance_of_settling());
    }

    fn chance_of_settling(&mut self) -> Duration {
        self.part_of(SETTLED_FOR / 2)
    }

    fn member(&mut self, peer: &Arc<Peer>) -> Option<&mut Member> {
        self.members
            .iter_mut()
            .find(|member| Arc::ptr_eq(&member.peer, peer))
    }
}

/// A small generator (SplitMix64): nothing here needs more than that clients differ.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        let upper = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        f64::from(upper) / f64::from(u32::MAX)
    }

    fn below(&mut self, n: usize) -> Option<usize> {
        let n = u64::try_from(n).ok().filter(|n| *n > 0)?;
        usize::try_from(self.next() % n).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn roster(seed: u64) -> Roster {
        let bases: Vec<Arc<Base>> = (1..=3)
            .map(|n| Arc::new(Base::parse(&format!("http://10.0.0.{n}:1")).unwrap()))
            .collect();
        Roster::new(&bases, seed)
    }

    fn spread<'a>(rosters: impl Iterator<Item = &'a mut Roster>, now: Instant) -> Vec<usize> {
        let mut n_clients = BTreeMap::new();
        for roster in rosters {
            *n_clients.entry(roster.first(now).unwrap().address).or_default() += 1;
        }
        n_clients.into_values().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_stays_with_its_coordinator_and_clients_do_not_all_have_the_same() {
        let now = Instant::now();
        let mut rosters: Vec<Roster> = (0..300).map(roster).collect();
        let first = spread(rosters.iter_mut(), now);
        assert!(first.len() == 3 && first.iter().all(|n| *n > 50), "{first:?}");
        assert_eq!(spread(rosters.iter_mut(), now + SECOND), first);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clients_of_a_dead_coordinator_spread_over_the_others() {
        let now = Instant::now();
        let mut rosters: Vec<Roster> = (0..300).map(roster).collect();
        for roster in &mut rosters {
            let dead = Arc::clone(&roster.members[0].peer);
            roster.first(now);
            roster.failed(&dead, now);
        }
        let left = spread(rosters.iter_mut(), now);
        assert!(left.len() == 2 && left.iter().all(|n| *n > 100), "{left:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_rolling_restart_every_coordinator_gets_clients_again() {
        let now = Instant::now();
        let mut rosters: Vec<Roster> = (0..300).map(roster).collect();
        for roster in &mut rosters {
            for index in 0..3 {
                let now = now + index * 10 * SECOND;
                let restarted = Arc::clone(&roster.members[index as usize].peer);
                roster.first(now);
                roster.failed(&restarted, now);
            }
        }
        let now = now + 30 * SECOND;
        assert_eq!(spread(rosters.iter_mut(), now).len(), 2);
        let later = spread(rosters.iter_mut(), now + SETTLED_FOR);
        assert!(later.len() == 3 && later.iter().all(|n| *n > 50), "{later:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_one_is_asked_only_when_there_is_no_better_and_the_longest_bad_first() {
        let now = Instant::now();
        let mut roster = roster(7);
        let peers: Vec<Arc<Peer>> = roster
            .members
            .iter()
            .map(|member| Arc::clone(&member.peer))
            .collect();
        for (peer, at) in [(0, 1), (1, 0)] {
            roster.failed(&peers[peer], now + at * SECOND / 10);
        }
        assert!(Arc::ptr_eq(&roster.first(now).unwrap(), &peers[2]));
        assert!(roster.good(&peers[2..], now).is_none());
        assert!(Arc::ptr_eq(&roster.any(&peers[2..]).unwrap(), &peers[1]));
        roster.failed(&peers[2], now + SECOND);
        assert!(roster.is_hopeless(now + SECOND));
        assert!(Arc::ptr_eq(&roster.first(now + SECOND).unwrap(), &peers[1]));
        roster.heard(&peers[2], now + SECOND);
        assert!(Arc::ptr_eq(&roster.good(&[], now + SECOND).unwrap(), &peers[2]));
        assert!(!roster.is_hopeless(now + 10 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_gains_and_loses_addresses_and_what_was_heard_of_the_others_is_kept() {
        let now = Instant::now();
        let base = Arc::new(Base::parse("http://forge:1").unwrap());
        let mut roster = Roster::new(std::slice::from_ref(&base), 1);
        assert!(roster.first(now).is_none());
        let address = |n: u8| std::net::SocketAddr::from(([10, 0, 0, n], 1));
        roster.resolved(&base, &[address(1)]);
        let one = roster.first(now).unwrap();
        roster.heard(&one, now);
        roster.resolved(&base, &[address(1), address(2)]);
        assert!(Arc::ptr_eq(&roster.first(now).unwrap(), &one));
        assert_eq!((roster.len(), roster.heard_at(&one)), (2, Some(now)));
        roster.resolved(&base, &[address(2)]);
        assert_eq!(roster.first(now).unwrap().address, address(2));
    }
}
