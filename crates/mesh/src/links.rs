//! The books of `node`: which connections there are, who is at their other end, and what became of those that ended.
//!
//! No actor and no IO but one: an entry that is struck off takes its connection with it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::connection::Cut;
use crate::desk::RemoteDesk;
use crate::identity::Identity;
use crate::server::Session;

/// Most connections at once, those that are not authenticated yet included.
pub(crate) const LINKS_MAX: usize = 128;
/// How long the library's authentication may take, and the peer's desk to be seen after it.
pub(crate) const AUTHENTICATION_MAX: Duration = Duration::from_secs(5);
/// How long a peer is remembered after its connection ended, if nothing else speaks of it.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(60);

/// Lost peers that are remembered at most; with more, the one that was lost first is forgotten. Whoever may connect may
/// greet with any name before it has proved anything.
const LOST_MAX: usize = LINKS_MAX;

/// What the peer and this one disagree about when a session ends before it began.
const NOT_AUTHENTICATED: &str = "the session ended before it began: is the cookie the same?";

/// One connection.
pub(crate) struct Link {
    pub(crate) peer: Identity,
    opened_at: Instant,
    session: Option<Session>,
    /// There since the session is of use.
    pub(crate) live: Option<Live>,
    _cut: Cut,
}

/// What makes a session of use.
pub(crate) struct Live {
    pub(crate) desk: RemoteDesk,
    pub(crate) since: Instant,
    /// How long the last probe took.
    pub(crate) beat: Option<Duration>,
    /// A probe is under way.
    pub(crate) is_probed: bool,
}

/// A peer whose connection has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) since: Instant,
    pub(crate) why: String,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Links {
    by_label: BTreeMap<String, Link>,
    /// By name.
    lost: BTreeMap<String, Lost>,
    n_opened: u64,
}

impl Links {
    /// Enters a connection and gives it a label; nothing if there are too many.
    pub(crate) fn enter(&mut self, peer: Identity, cut: Cut, now: Instant) -> Option<String> {
        if self.by_label.len() >= LINKS_MAX {
            return None;
        }
        self.n_opened += 1;
        let label = format!("link-{}", self.n_opened);
        let link = Link {
            peer,
            opened_at: now,
            session: None,
            live: None,
            _cut: cut,
        };
        self.by_label.insert(label.clone(), link);
        Some(label)
    }

    /// Compares with the sessions that the library has. A link that it no longer knows is lost, and so is one that took
    /// too long. Those that it knows are of use as soon as the peer's desk is there.
    pub(crate) fn reconcile(&mut self, sessions: Vec<Session>, now: Instant) {
        let mut known: BTreeMap<String, Session> = sessions
            .into_iter()
            .map(|session| (session.label.clone(), session))
            .collect();
        let mut ended = Vec::new();
        for (label, link) in &mut self.by_label {
            let is_late = now.saturating_duration_since(link.opened_at) > AUTHENTICATION_MAX;
            match known.remove(label) {
                Some(session) if session.peer != link.peer.to_string() => {
                    session.end();
                    ended.push((
                        label.clone(),
                        format!("it greeted as {}, then was {}", link.peer, session.peer),
                    ));
                }
                Some(session) if link.live.is_none() => {
                    match RemoteDesk::find(&link.peer, session.id()) {
                        Some(desk) => {
                            tracing::info!(peer = %link.peer, "a mesh peer is up");
                            link.live = Some(Live::new(desk, now));
                        }
                        None if is_late => ended.push((label.clone(), "it has no desk".to_owned())),
                        None => {}
                    }
                    link.session = Some(session);
                }
                Some(_) => {}
                None if link.session.is_some() => ended.push((label.clone(), "the session ended".to_owned())),
                None if is_late => ended.push((label.clone(), NOT_AUTHENTICATED.to_owned())),
                None => {}
            }
        }
        for (label, why) in ended {
            self.strike(&label, Some(&why), now);
        }
        let live = self.by_label.values().filter(|link| link.live.is_some());
        live.for_each(|link| drop(self.lost.remove(&link.peer.name)));
        self.lost
            .retain(|_, lost| now.saturating_duration_since(lost.since) < REMEMBERED);
    }

    /// Strikes a connection off, and ends it. Returns whose it was.
    pub(crate) fn strike(&mut self, label: &str, why: Option<&str>, now: Instant) -> Option<Identity> {
        let link = self.by_label.remove(label)?;
        let why = match (why, &link.session) {
            (Some(why), _) => why,
            (None, Some(_)) => "the connection ended",
            (None, None) => NOT_AUTHENTICATED,
        };
        if let Some(session) = &link.session {
            session.end();
        }
        // Of two connections to one peer one is given up: nothing is lost by that.
        if self.by_label.values().any(|other| other.peer == link.peer) {
            return None;
        }
        tracing::warn!(peer = %link.peer, why, "a mesh peer is lost");
        let lost = Lost {
            since: now,
            why: why.to_owned(),
        };
        self.remember(link.peer.name.clone(), lost);
        Some(link.peer)
    }

    fn remember(&mut self, name: String, lost: Lost) {
        self.lost.insert(name, lost);
        if self.lost.len() > LOST_MAX {
            let first = self.lost.iter().min_by_key(|(_, lost)| lost.since);
            let first = first.map(|(name, _)| name.clone());
            first.map(|name| self.lost.remove(&name));
        }
    }

    pub(crate) fn live_mut(&mut self, label: &str) -> Option<&mut Live> {
        self.by_label.get_mut(label)?.live.as_mut()
    }

    /// Those that nobody probes at the moment are marked as probed, and returned.
    pub(crate) fn start_probes(&mut self) -> Vec<(String, RemoteDesk)> {
        let mut to_probe = Vec::new();
        for (label, link) in &mut self.by_label {
            if let Some(live) = link.live.as_mut().filter(|live| !live.is_probed) {
                live.is_probed = true;
                to_probe.push((label.clone(), live.desk.clone()));
            }
        }
        to_probe
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (&Identity, &Live)> {
        self.by_label
            .values()
            .filter_map(|link| Some((&link.peer, link.live.as_ref()?)))
    }

    pub(crate) const fn lost(&self) -> &BTreeMap<String, Lost> {
        &self.lost
    }
}

impl Live {
    fn new(desk: RemoteDesk, now: Instant) -> Self {
        Self {
            desk,
            since: now,
            beat: None,
            is_probed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_names_strangers_have_only_so_many_are_remembered() {
        let mut links = Links::default();
        let begun = Instant::now();
        for n in 0..LOST_MAX * 3 {
            let since = begun + Duration::from_millis(n as u64);
            let why = NOT_AUTHENTICATED.to_owned();
            links.remember(format!("stranger-{n}"), Lost { since, why });
        }
        assert_eq!(links.lost().len(), LOST_MAX);
        let oldest = links.lost().values().map(|lost| lost.since).min();
        assert_eq!(oldest, Some(begun + Duration::from_millis(LOST_MAX as u64 * 2)));
    }
}
