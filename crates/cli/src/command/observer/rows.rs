//! From readings to rows: what is shown of each actor, as text.
//!
//! A pure function of the last two readings. A rate is the difference of two counts over the difference of two ages of
//! the same life, both told by the coordinator, so no clock of ours takes part.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use protocol::observer::{ActorState, ActorView, ExitView, PeerState, PeerView, Reading, TreeView};

use crate::output::{printable, rounded};

/// What is shown where there is nothing to tell.
const NOTHING: &str = "-";

/// One actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// How far it is indented.
    pub(super) depth: usize,
    /// The last part of its path; all of it at the top.
    pub(super) name: String,
    pub(super) state: ActorState,
    /// The number of its life.
    pub(super) life: u64,
    /// Its own restarts; for a supervisor also those that it counts, and how many are allowed.
    pub(super) restarts: String,
    pub(super) busy: String,
    /// Waiting messages and room for them.
    pub(super) queue: String,
    pub(super) p50: String,
    pub(super) p99: String,
    /// Messages a second.
    pub(super) rate: String,
    pub(super) handled: u64,
    pub(super) last_exit: String,
}

/// The rows of a reading, in tree order, coordinator by coordinator. A filter keeps the actors whose path contains it,
/// and those above them.
pub(super) fn rows(previous: Option<&Reading>, current: &Reading, filter: &str) -> Vec<Row> {
    let earlier: HashMap<(&str, &str, u64), &ActorView> = previous
        .into_iter()
        .flat_map(parts)
        .flat_map(|part| {
            part.actors()
                .map(move |actor| ((part.coordinator, actor.path.as_str(), actor.incarnation), actor))
        })
        .collect();
    let mut rows = Vec::new();
    for part in parts(current) {
        let kept = part.kept(filter);
        let top = part.actors().map(depth).min().unwrap_or_default();
        let actors = part.actors().filter(|actor| kept.contains(actor.path.as_str()));
        rows.extend(actors.map(|actor| {
            let before = earlier.get(&(part.coordinator, actor.path.as_str(), actor.incarnation));
            let mut row = row(actor, before.copied(), depth(actor) - top);
            if row.depth == 0 && !part.coordinator.is_empty() {
                row.name = format!("{}: {}", printable(part.coordinator), row.name);
            }
            row
        }));
    }
    rows
}

/// What was read of one coordinator.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// Its name; empty without a mesh.
    coordinator: &'a str,
    trees: &'a [TreeView],
}

/// The one that answered, then its peers.
fn parts(reading: &Reading) -> impl Iterator<Item = Part<'_>> {
    let own = Part {
        coordinator: reading.coordinator.as_deref().unwrap_or_default(),
        trees: &reading.trees,
    };
    let peers = reading.peers.iter().map(|peer| Part {
        coordinator: &peer.name,
        trees: &peer.trees,
    });
    std::iter::once(own).chain(peers)
}

impl<'a> Part<'a> {
    fn actors(self) -> impl Iterator<Item = &'a ActorView> {
        self.trees.iter().flat_map(|tree| &tree.actors)
    }

    /// The paths that a filter leaves. It may name the coordinator, as the rows do.
    fn kept(self, filter: &str) -> HashSet<&'a str> {
        let mut kept = HashSet::new();
        for path in self.actors().map(|actor| actor.path.as_str()) {
            if path.contains(filter) || format!("{}: {path}", self.coordinator).contains(filter) {
                kept.insert(path);
                kept.extend(path.match_indices('/').filter_map(|(at, _)| path.get(..at)));
            }
        }
        kept
    }
}

/// How a peer is, for people, such as `c2: up for 65s, answers within 300us`.
pub(super) fn peer_line(peer: &PeerView) -> String {
    let lasted = peer
        .for_ms
        .map(|ms| format!(" for {}", rounded(Duration::from_millis(ms))))
        .unwrap_or_default();
    let beat = peer
        .beat_us
        .map(|micros| format!(", answers within {}", wait(micros)))
        .unwrap_or_default();
    let why = peer
        .why
        .as_ref()
        .map(|why| format!(": {why}"))
        .unwrap_or_default();
    let state = match peer.state {
        PeerState::Unreachable => "UNREACHABLE",
        state @ (PeerState::Up | PeerState::Silent) => state.as_str(),
    };
    printable(&format!("{}: {state}{lasted}{beat}{why}", peer.name))
}

fn depth(actor: &ActorView) -> usize {
    actor.path.matches('/').count()
}

fn row(actor: &ActorView, before: Option<&ActorView>, depth: usize) -> Row {
    let path = printable(&actor.path);
    let name = match path.rsplit_once('/') {
        Some((_, name)) if depth > 0 => name.to_owned(),
        _ => path,
    };
    let mailbox = &actor.mailbox;
    Row {
        depth,
        name,
        state: actor.state,
        life: actor.incarnation,
        restarts: match actor.window {
            Some(window) => format!("{} ({}/{})", actor.restarts, window.restarts, window.max),
            None => actor.restarts.to_string(),
        },
        busy: told(actor.busy_ms.map(|ms| rounded(Duration::from_millis(ms)))),
        queue: format!("{}/{}", mailbox.depth, mailbox.capacity),
        p50: told(mailbox.p50_us.map(wait)),
        p99: told(mailbox.p99_us.map(wait)),
        rate: told(before.and_then(|before| rate(before, actor))),
        handled: mailbox.handled,
        last_exit: told(actor.last_exit.as_ref().map(exit)),
    }
}

fn told(text: Option<String>) -> String {
    text.unwrap_or_else(|| NOTHING.to_owned())
}

fn wait(micros: u64) -> String {
    if micros < 1_000 {
        format!("{micros}us")
    } else {
        rounded(Duration::from_micros(micros))
    }
}

/// Messages a second between two readings of one life; none when no time has passed between them.
fn rate(before: &ActorView, now: &ActorView) -> Option<String> {
    let millis = now.age_ms.checked_sub(before.age_ms).filter(|ms| *ms > 0)?;
    let messages = now.mailbox.handled.checked_sub(before.mailbox.handled)?;
    let tenths = u128::from(messages) * 10_000 / u128::from(millis);
    Some(match tenths {
        0 if messages > 0 => "<0.1".to_owned(),
        0 | 100.. => (tenths / 10).to_string(),
        _ => format!("{}.{}", tenths / 10, tenths % 10),
    })
}

fn exit(exit: &ExitView) -> String {
    match &exit.why {
        Some(why) => format!("{}: {}", exit.how.as_str(), printable(why)),
        None => exit.how.as_str().to_owned(),
    }
}

#[cfg(test)]
pub(super) mod sample;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, filter: &str) -> Row {
        let all = rows(Some(&sample::first()), &sample::second(), filter);
        all.into_iter().find(|row| row.name == path).unwrap()
    }

    #[test]
    fn a_rate_is_the_difference_of_two_readings() {
        assert_eq!(of("intake", "").rate, "12");
        assert_eq!(of("dispatch", "").rate, "-", "a new life has no earlier reading");
        assert_eq!(of("reaper", "").rate, "0");
        assert_eq!(of("poller", "").rate, "0.5");
        let once = rows(None, &sample::second(), "");
        assert!(once.iter().all(|row| row.rate == "-"));
    }

    #[test]
    fn rows_of_a_cluster_say_of_which_coordinator_they_are() {
        let reading = sample::of_a_cluster();
        let names = |filter| -> Vec<String> {
            let rows = rows(Some(&reading), &reading, filter);
            rows.into_iter().map(|row| row.name).collect()
        };
        assert_eq!(
            names("dispatch"),
            ["c1: coordinator", "dispatch", "c2: coordinator", "dispatch"]
        );
        assert_eq!(names("c2: "), ["c2: coordinator", "dispatch"]);
        let lines: Vec<String> = reading.peers.iter().map(peer_line).collect();
        assert_eq!(
            lines,
            [
                "c2: up for 65s, answers within 300us",
                "c3: UNREACHABLE for 65s: it does not answer",
            ]
        );
    }

    #[test]
    fn the_same_reading_twice_divides_nothing_by_zero() {
        let reading = sample::second();
        assert!(
            rows(Some(&reading), &reading, "")
                .iter()
                .all(|row| row.rate == "-")
        );
    }

    #[test]
    fn a_filter_keeps_what_is_above_what_it_finds() {
        let names = |filter| -> Vec<String> {
            let rows = rows(None, &sample::second(), filter);
            rows.into_iter().map(|row| row.name).collect()
        };
        assert_eq!(names("shipper"), ["agent", "runs", "slot-0", "shipper"]);
        assert_eq!(names("nothing is called so"), [""; 0]);
    }

    #[test]
    fn a_part_of_a_tree_begins_with_its_whole_path() {
        let mut reading = sample::second();
        for tree in &mut reading.trees {
            tree.actors.retain(|actor| actor.path.starts_with("agent/runs"));
        }
        let top = &rows(None, &reading, "")[0];
        assert_eq!((top.name.as_str(), top.depth), ("agent/runs", 0));
    }

    #[test]
    fn what_an_actor_says_cannot_steer_the_terminal() {
        let mut reading = sample::second();
        for exit in reading.trees[0]
            .actors
            .iter_mut()
            .filter_map(|actor| actor.last_exit.as_mut())
        {
            exit.why = Some("\u{1b}[2J".to_owned());
        }
        let rows = rows(None, &reading, "dispatch");
        assert_eq!(rows[1].last_exit, "crashed: \u{fffd}[2J");
    }
}
