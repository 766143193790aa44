//! Who can be reached and who cannot: what `node` knows of sessions and `scout` of addresses, put together.
//!
//! A peer that is configured or was found stays on the list while it cannot be reached: that is what the list is for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::PeerAddress;
use crate::desk::RemoteDesk;
use crate::identity::Identity;
use crate::links::Lost;

/// What `node` publishes.
#[derive(Clone, Default)]
pub(crate) struct Sessions {
    /// Who this coordinator is to its peers; nobody while the actor is down.
    pub(crate) own: Option<Identity>,
    pub(crate) up: Vec<Up>,
    /// By name.
    pub(crate) lost: BTreeMap<String, Lost>,
}

/// A peer that can be asked.
#[derive(Clone)]
pub(crate) struct Up {
    pub(crate) peer: Identity,
    pub(crate) desk: RemoteDesk,
    pub(crate) since: Instant,
    pub(crate) beat: Option<Duration>,
}

impl Sessions {
    /// The session with whoever has this name.
    pub(crate) fn with(&self, name: &str) -> Option<&Up> {
        self.up.iter().find(|up| up.peer.name == name)
    }
}

/// What `scout` publishes of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) address: PeerAddress,
    /// Who answered there last.
    pub(crate) who: Option<Identity>,
    /// Why it could not be reached last, and since when; nothing after a success.
    pub(crate) trouble: Option<Lost>,
    /// It is this coordinator itself.
    pub(crate) is_self: bool,
}

/// A peer, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name; its address while nobody has answered there.
    pub name: String,
    /// Where it is dialled; none for a peer that dialled this one and is not listed here.
    pub address: Option<String>,
    /// Whether it can be asked.
    pub reach: Reach,
}

/// Whether a peer can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It answers.
    Up {
        /// Since when.
        since: Instant,
        /// How long its last answer to a probe took; none before the first.
        beat: Option<Duration>,
    },
    /// It does not.
    Unreachable {
        /// Since when; none if nobody has tried yet.
        since: Option<Instant>,
        /// Why, in words that fit behind its name and a colon.
        why: String,
    },
}

/// All peers by name: those that are up, and those that should be.
pub(crate) fn peers(sessions: &Sessions, sights: &[Sight]) -> Vec<Peer> {
    let address_of = |name: &str| {
        let is_its = |sight: &&Sight| sight.who.as_ref().is_some_and(|who| who.name == name);
        sights.iter().find(is_its).map(|sight| sight.address.to_string())
    };
    let up = sessions.up.iter().map(|up| Peer {
        name: up.peer.name.clone(),
        address: address_of(&up.peer.name),
        reach: Reach::Up {
            since: up.since,
            beat: up.beat,
        },
    });
    let mut peers: Vec<Peer> = up.collect();
    let missing = |peers: &[Peer], name: &str| !peers.iter().any(|peer| peer.name == name);
    for sight in sights.iter().filter(|sight| !sight.is_self) {
        let address = sight.address.to_string();
        let name = sight
            .who
            .as_ref()
            .map_or_else(|| address.clone(), |who| who.name.clone());
        if missing(&peers, &name) {
            let lost = sessions.lost.get(&name).or(sight.trouble.as_ref());
            peers.push(Peer {
                name,
                address: Some(address),
                reach: unreachable(lost),
            });
        }
    }
    for (name, lost) in &sessions.lost {
        if missing(&peers, name) {
            peers.push(Peer {
                name: name.clone(),
                address: None,
                reach: unreachable(Some(lost)),
            });
        }
    }
    peers.sort_by(|one, other| one.name.cmp(&other.name));
    peers
}

fn unreachable(lost: Option<&Lost>) -> Reach {
    Reach::Unreachable {
        since: lost.map(|lost| lost.since),
        why: lost.map_or_else(|| "not connected yet".to_owned(), |lost| lost.why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(address: &str, who: Option<&str>, why: Option<&str>) -> Sight {
        Sight {
            address: address.parse().unwrap(),
            who: who.map(|name| Identity::new(name, 1, 1)),
            trouble: why.map(lost),
            is_self: false,
        }
    }

    fn lost(why: &str) -> Lost {
        Lost {
            since: Instant::now(),
            why: why.to_owned(),
        }
    }

    fn check(sessions: &Sessions, sights: &[Sight], expected: &[(&str, Option<&str>, &str)]) {
        let listed = peers(sessions, sights);
        let listed = listed.iter().map(|peer| match &peer.reach {
            Reach::Unreachable { why, .. } => (peer.name.as_str(), peer.address.as_deref(), why.as_str()),
            Reach::Up { .. } => (peer.name.as_str(), peer.address.as_deref(), "up"),
        });
        assert_eq!(listed.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn who_should_be_there_is_listed_with_the_reason_why_it_is_not() {
        let none = Sessions::default();
        let itself = Sight {
            is_self: true,
            ..sight("c:1", Some("c3"), None)
        };
        let sights = [
            sight("a:1", Some("c1"), Some("refused")),
            sight("b:1", None, None),
            itself,
        ];
        let expected = [
            ("b:1", Some("b:1"), "not connected yet"),
            ("c1", Some("a:1"), "refused"),
        ];
        check(&none, &sights, &expected);
    }

    #[test]
    fn a_lost_peer_stays_listed_once_with_the_reason_of_the_loss() {
        let sessions = Sessions {
            lost: [("c1", "silent"), ("c9", "gone")]
                .map(|(name, why)| (name.to_owned(), lost(why)))
                .into(),
            ..Sessions::default()
        };
        let sights = [sight("a:1", Some("c1"), Some("refused"))];
        check(
            &sessions,
            &sights,
            &[("c1", Some("a:1"), "silent"), ("c9", None, "gone")],
        );
    }
}
