//! Two readings of one process, two seconds apart: a coordinator with a stuck and a restarted actor, and its agent.

use protocol::observer::{
    ActorKind, ActorState, ActorView, ExitKind, ExitView, MailboxView, PeerState, PeerView, Reading,
    TotalsView, TreeEventView, TreeView, WindowView,
};

fn worker(path: &str, handled: u64) -> ActorView {
    ActorView {
        path: path.to_owned(),
        kind: ActorKind::Worker,
        state: ActorState::Running,
        incarnation: 1,
        age_ms: 90_000,
        restarts: 0,
        window: None,
        last_exit: None,
        busy_ms: None,
        mailbox: MailboxView {
            depth: 0,
            capacity: 1_024,
            sent: handled,
            handled,
            p50_us: (handled > 0).then_some(64),
            p99_us: (handled > 0).then_some(2_048),
        },
    }
}

fn supervisor(path: &str, restarts: usize, max: u32) -> ActorView {
    ActorView {
        kind: ActorKind::Supervisor,
        window: Some(WindowView {
            restarts,
            max,
            within_ms: 60_000,
        }),
        ..worker(path, 0)
    }
}

fn tree(name: &str, actors: Vec<ActorView>) -> TreeView {
    TreeView {
        name: name.to_owned(),
        totals: TotalsView {
            starts: actors.len() as u64,
            ..TotalsView::default()
        },
        actors,
        events: Vec::new(),
    }
}

/// All is well.
pub(in crate::command::observer) fn first() -> Reading {
    let coordinator = vec![
        supervisor("coordinator", 0, 10),
        worker("coordinator/dispatch", 5),
        worker("coordinator/intake", 100),
        worker("coordinator/reaper", 0),
    ];
    let agent = vec![
        supervisor("agent", 0, 20),
        worker("agent/poller", 10),
        supervisor("agent/runs", 0, 1),
        supervisor("agent/runs/slot-0", 0, 3),
        worker("agent/runs/slot-0/shipper", 7),
    ];
    Reading {
        trees: vec![tree("coordinator", coordinator), tree("agent", agent)],
        truncated: false,
        coordinator: None,
        peers: Vec::new(),
    }
}

/// The second reading, of a coordinator with two peers, one of which cannot be reached.
pub(in crate::command::observer) fn of_a_cluster() -> Reading {
    let peer = |name: &str, state, trees| PeerView {
        name: name.to_owned(),
        address: Some(format!("{name}:7080")),
        state,
        for_ms: Some(65_000),
        beat_us: (state == PeerState::Up).then_some(300),
        why: (state != PeerState::Up).then(|| "it does not answer".to_owned()),
        trees,
        truncated: false,
    };
    let actors = vec![
        supervisor("coordinator", 0, 10),
        worker("coordinator/dispatch", 9),
    ];
    Reading {
        coordinator: Some("c1".to_owned()),
        peers: vec![
            peer("c2", PeerState::Up, vec![tree("coordinator", actors)]),
            peer("c3", PeerState::Unreachable, Vec::new()),
        ],
        ..second()
    }
}

/// Two seconds later: `dispatch` has crashed and is up again, `reaper` blocks its thread.
pub(in crate::command::observer) fn second() -> Reading {
    let mut reading = first();
    for actor in reading.trees.iter_mut().flat_map(|tree| &mut tree.actors) {
        actor.age_ms += 2_000;
    }
    let [coordinator, agent] = reading.trees.as_mut_slice() else {
        panic!("there are two trees");
    };
    let [root, dispatch, intake, reaper] = coordinator.actors.as_mut_slice() else {
        panic!("it has four actors");
    };
    root.window = root.window.map(|window| WindowView {
        restarts: 1,
        ..window
    });
    dispatch.incarnation = 2;
    dispatch.restarts = 1;
    dispatch.age_ms = 1_500;
    dispatch.last_exit = Some(ExitView {
        how: ExitKind::Crashed,
        why: Some("index out of bounds".to_owned()),
    });
    intake.mailbox.handled += 24;
    intake.mailbox.depth = 3;
    intake.busy_ms = Some(12);
    reaper.state = ActorState::Stuck;
    reaper.busy_ms = Some(31_000);
    agent.actors[1].mailbox.handled += 1;
    coordinator.totals.restarts = 1;
    coordinator.totals.crashes = 1;
    coordinator.totals.stuck = 1;
    let event = |number, age_ms, path: &str, what: &str, detail: Option<&str>| TreeEventView {
        number,
        age_ms,
        path: path.to_owned(),
        incarnation: 1,
        what: what.to_owned(),
        detail: detail.map(str::to_owned),
    };
    let crash = Some("crashed: index out of bounds");
    coordinator.events = vec![
        event(8, 1_501, "coordinator/dispatch", "ended", crash),
        event(9, 500, "coordinator/reaper", "stuck", None),
    ];
    reading
}
