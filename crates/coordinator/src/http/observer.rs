//! `GET /v1/observer/tree`: the live actors of this process, read from the directories alone, and those of its peers.
//!
//! No actor is asked, so the reply comes while all of them hang. A reading is one pass over each directory; how much
//! of it is shown is limited by [`ACTORS_SHOWN_MAX`]. With a mesh each peer is asked for its own reading at the same time,
//! for half a second at most; who does not answer is listed as such.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use mesh::{Heard, Link, Reach};
use protocol::observer::{
    ACTORS_SHOWN_MAX, ActorKind, ActorView, ExitKind, ExitView, MailboxView, ObserverQuery,
    PEER_ACTORS_SHOWN_MAX, PeerState, PeerView, Reading, TotalsView, TreeEventView, TreeView, WindowView,
    millis,
};
use supervision::{ActorInfo, ActorState, Exit, Happening, Kind, MailboxInfo, Totals, TreeEvent, WindowInfo};

use crate::coordinator::Coordinator;
use crate::http::Shared;
use crate::http::extract::{Admin, Query};
use crate::trees::{ObservedTree, Trees};

/// How long the peers may take to answer. Who has not by then is shown as silent.
const PEERS_MAX: Duration = Duration::from_millis(500);

/// `GET /v1/observer/tree`.
pub(super) async fn tree(
    _: Admin,
    State(coordinator): Shared,
    Query(query): Query<ObserverQuery>,
) -> Json<Reading> {
    let peers = match &coordinator.link {
        Some(link) if !query.alone => ask_peers(link, &query).await,
        Some(_) | None => Vec::new(),
    };
    Json(Reading {
        coordinator: coordinator.link.as_ref().map(|link| link.name().to_owned()),
        peers,
        ..read(&coordinator.trees, query.under.as_deref(), ACTORS_SHOWN_MAX)
    })
}

/// Answers a peer that asks what is observed here.
pub(crate) fn for_peer(coordinator: &Coordinator, question: &[u8]) -> Result<Vec<u8>, String> {
    let query: ObserverQuery = serde_json::from_slice(question).map_err(|error| error.to_string())?;
    let reading = read(&coordinator.trees, query.under.as_deref(), PEER_ACTORS_SHOWN_MAX);
    serde_json::to_vec(&reading).map_err(|error| error.to_string())
}

async fn ask_peers(link: &Link, query: &ObserverQuery) -> Vec<PeerView> {
    let question = ObserverQuery {
        under: query.under.clone(),
        alone: false,
    };
    let question = serde_json::to_vec(&question).expect("a path is JSON");
    let heard = link.observe_all(&question, PEERS_MAX).await;
    let now = Instant::now();
    heard.into_iter().map(|heard| peer(heard, now)).collect()
}

/// What a peer has said, or why it has not.
fn peer(Heard { peer, answer }: Heard, now: Instant) -> PeerView {
    let reading = match answer {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|_| "its reading is of another version".to_owned())
        }
        Err(silence) => Err(silence.to_string()),
    };
    let (state, since, beat) = match peer.reach {
        Reach::Unreachable { since, .. } => (PeerState::Unreachable, since, None),
        Reach::Up { since, beat } if reading.is_ok() => (PeerState::Up, Some(since), beat),
        Reach::Up { since, beat } => (PeerState::Silent, Some(since), beat),
    };
    let (trees, truncated, why) = match reading {
        Ok(Reading { trees, truncated, .. }) => (trees, truncated, None),
        Err(why) => (Vec::new(), false, Some(why)),
    };
    PeerView {
        name: peer.name,
        address: peer.address,
        state,
        for_ms: since.map(|since| age_ms(since, now)),
        beat_us: beat.map(micros),
        why,
        trees,
        truncated,
    }
}

/// Reads at most so many actors of all trees, or of what is at and under a path.
fn read(trees: &Trees, under: Option<&str>, shown_max: usize) -> Reading {
    let now = Instant::now();
    let mut room = shown_max;
    let mut reading = Reading {
        trees: Vec::new(),
        truncated: false,
        coordinator: None,
        peers: Vec::new(),
    };
    for tree in trees
        .iter()
        .filter(|tree| under.is_none_or(|path| leads_into(path, tree)))
    {
        let mut actors = tree.directory.list();
        actors.retain(|actor| under.is_none_or(|path| is_at_or_under(actor.path.as_str(), path)));
        actors.sort_by(|a, b| in_tree_order(a.path.as_str(), b.path.as_str()));
        reading.truncated |= actors.len() > room;
        actors.truncate(room);
        room -= actors.len();
        reading.trees.push(TreeView {
            name: tree.name.to_owned(),
            actors: actors.into_iter().map(|info| actor(info, now)).collect(),
            events: tree
                .directory
                .events()
                .into_iter()
                .map(|it| event(it, now))
                .collect(),
            totals: totals(tree.directory.totals()),
        });
    }
    reading
}

fn leads_into(path: &str, tree: &ObservedTree) -> bool {
    path.split('/').next() == Some(tree.name)
}

fn is_at_or_under(path: &str, top: &str) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The order in which what is under an actor follows it at once. Plain text order puts `runs-2` before `runs/slot`.
fn in_tree_order(a: &str, b: &str) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.bytes().map(rank).cmp(b.bytes().map(rank))
}

fn actor(info: ActorInfo, now: Instant) -> ActorView {
    ActorView {
        path: info.path.to_string(),
        kind: match info.kind {
            Kind::Worker => ActorKind::Worker,
            Kind::Supervisor => ActorKind::Supervisor,
            Kind::Dynamic => ActorKind::Dynamic,
        },
        state: state(info.state),
        incarnation: info.incarnation,
        age_ms: age_ms(info.started_at, now),
        restarts: info.restarts,
        window: info.window.map(window),
        last_exit: info.last_exit.map(exit),
        busy_ms: info.busy_for.map(millis),
        mailbox: mailbox(&info.mailbox),
    }
}

const fn state(state: ActorState) -> protocol::observer::ActorState {
    use protocol::observer::ActorState as View;
    match state {
        ActorState::Starting => View::Starting,
        ActorState::Running => View::Running,
        ActorState::Stuck => View::Stuck,
        ActorState::Stopping => View::Stopping,
        ActorState::Abandoned => View::Abandoned,
    }
}

fn window(info: WindowInfo) -> WindowView {
    WindowView {
        restarts: info.restarts,
        max: info.max,
        within_ms: millis(info.within),
    }
}

fn exit(exit: Exit) -> ExitView {
    let (how, why) = match exit {
        Exit::Normal => (ExitKind::Normal, None),
        Exit::Shutdown => (ExitKind::Shutdown, None),
        Exit::GaveUp(why) => (ExitKind::GaveUp, Some(why)),
        Exit::Killed => (ExitKind::Killed, None),
        Exit::Crashed(why) => (ExitKind::Crashed, Some(why)),
    };
    ExitView { how, why }
}

fn mailbox(info: &MailboxInfo) -> MailboxView {
    MailboxView {
        depth: info.depth,
        capacity: info.capacity,
        sent: info.sent,
        handled: info.handled,
        p50_us: info.waits.quantile(0.5).map(micros),
        p99_us: info.waits.quantile(0.99).map(micros),
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

fn event(event: TreeEvent, now: Instant) -> TreeEventView {
    let (what, detail) = match event.what {
        Happening::Started => ("started", None),
        Happening::StartFailed(why) => ("start_failed", Some(why)),
        Happening::Ended(exit) => ("ended", Some(exit.to_string())),
        Happening::Stuck => ("stuck", None),
        Happening::Unstuck => ("unstuck", None),
        Happening::Abandoned => ("abandoned", None),
        Happening::Injected(fault) => ("injected", Some(fault)),
    };
    TreeEventView {
        number: event.number,
        age_ms: age_ms(event.at, now),
        path: event.path.to_string(),
        incarnation: event.incarnation,
        what: what.to_owned(),
        detail,
    }
}

const fn totals(totals: Totals) -> TotalsView {
    let Totals {
        starts,
        restarts,
        failed_starts,
        crashes,
        kills,
        gave_up,
        stuck,
        abandoned,
    } = totals;
    TotalsView {
        starts,
        restarts,
        failed_starts,
        crashes,
        kills,
        gave_up,
        stuck,
        abandoned,
    }
}

fn age_ms(at: Instant, now: Instant) -> u64 {
    millis(now.saturating_duration_since(at))
}

#[cfg(test)]
mod tests {
    use supervision::{Directory, Intensity, Strategy, Tree, TreeSpec};

    use super::*;

    #[tokio::test]
    async fn more_actors_than_are_shown_are_cut_off_and_it_is_said() {
        let directory = Directory::new();
        let within = Duration::from_secs(1);
        let empty = || TreeSpec::new(Strategy::OneForOne, Intensity { max: 1, within });
        let nested = |spec: TreeSpec, id: &str| spec.child(supervision::ChildSpec::supervisor(id, empty()));
        let spec = ["a", "b", "c"].into_iter().fold(empty(), nested);
        let tree = Tree::start_in("tree", spec, &directory).await.unwrap();
        let trees = Trees::new(vec![ObservedTree {
            name: "tree",
            directory,
        }]);
        let shown = |under, room| {
            let reading = read(&trees, under, room);
            let paths = reading.actors().map(|actor| actor.path.clone());
            (paths.collect::<Vec<_>>(), reading.truncated)
        };
        let paths = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            shown(None, 4),
            (paths(&["tree", "tree/a", "tree/b", "tree/c"]), false)
        );
        assert_eq!(shown(None, 2), (paths(&["tree", "tree/a"]), true));
        assert_eq!(shown(Some("tree/c"), 1), (paths(&["tree/c"]), false));
        assert!(tree.stop(within).await.is_empty());
    }

    #[test]
    fn what_is_under_an_actor_follows_it_at_once() {
        let mut paths = [
            "a/runs-2",
            "a/runs/slot-0",
            "a/runs",
            "a",
            "a/b",
            "a/runs/slot-0/x",
        ];
        paths.sort_by(|a, b| in_tree_order(a, b));
        assert_eq!(
            paths,
            [
                "a",
                "a/b",
                "a/runs",
                "a/runs/slot-0",
                "a/runs/slot-0/x",
                "a/runs-2"
            ]
        );
    }

    #[test]
    fn a_name_that_only_begins_alike_is_not_under_it() {
        assert!(is_at_or_under("a/runs", "a/runs") && is_at_or_under("a/runs/slot-0", "a/runs"));
        assert!(!is_at_or_under("a/runs-2", "a/runs") && !is_at_or_under("a", "a/runs"));
    }
}
