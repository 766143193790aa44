//! Faults on purpose: for people only, on record before they happen, and they happen.

use hiveforge_coordinator::ObservedTree;
use protocol::chaos::{ChaosView, FAULT_PATH_BYTES_MAX, Injection, What, When};
use protocol::observer::{ExitKind, Reading};
use serde_json::json;
use supervision::Directory;
use supervision::faults::{self, FAULTS_MAX, Fault};

use crate::wire::Reply;
use crate::world::{JOIN, World, eventually};

const PATH: &str = "coordinator/timekeeper";

async fn inject(world: &World, body: serde_json::Value) -> Reply {
    world.say("POST", "/v1/chaos").body(body.to_string()).send().await
}

async fn crashed(world: &World) -> protocol::observer::ActorView {
    eventually("it crashed and is up again", || async {
        let reading: Reading = world.say("GET", "/v1/observer/tree").send().await.json();
        reading
            .actor(PATH)
            .filter(|actor| actor.incarnation == 2)
            .cloned()
    })
    .await
}

#[tokio::test]
async fn an_injected_panic_happens_once_and_is_on_record_everywhere() {
    let world = World::start().await;
    let reply = inject(&world, json!({"path": PATH, "what": "panic"})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let exit = crashed(&world).await.last_exit.unwrap();
    assert_eq!(
        (exit.how, exit.why.as_deref()),
        (ExitKind::Crashed, Some("injected panic"))
    );
    let chaos: ChaosView = world.say("GET", "/v1/chaos").send().await.json();
    assert_eq!(chaos.waiting, []);
    let [act] = chaos.acts.as_slice() else {
        panic!("one act: {chaos:?}");
    };
    assert_eq!((act.by.as_str(), act.act.as_str()), ("admin", "fault_injected"));
    assert_eq!(
        (act.path.as_deref(), act.detail.as_str()),
        (Some(PATH), "panic at message 1")
    );
    let reading: Reading = world.say("GET", "/v1/observer/tree").send().await.json();
    let events: Vec<&str> = reading.trees[0]
        .events
        .iter()
        .skip(8)
        .map(|event| event.what.as_str())
        .collect();
    assert_eq!(events, ["injected", "ended", "started"]);
}

#[tokio::test]
async fn a_kill_is_at_once_and_restarted() {
    let world = World::start().await;
    assert_eq!(
        inject(&world, json!({"path": PATH, "what": "kill"})).await.status,
        200
    );
    assert_eq!(crashed(&world).await.last_exit.unwrap().how, ExitKind::Killed);
}

#[tokio::test]
async fn what_has_not_happened_can_be_taken_back() {
    let world = World::start().await;
    let fault = Injection {
        path: PATH.to_owned(),
        when: Some(When::Stop),
        what: What::DelayMs(5),
        coordinator: None,
    };
    let chaos: ChaosView = inject(&world, json!(fault)).await.json();
    assert_eq!(chaos.waiting, [fault]);
    let chaos: ChaosView = world.say("POST", "/v1/chaos/clear").send().await.json();
    assert_eq!(chaos.waiting, []);
    assert_eq!(chaos.acts[1].detail, "1 had not happened yet");
}

#[tokio::test]
async fn a_tree_beside_can_be_hurt_too() {
    let beside = ObservedTree {
        name: "agent",
        directory: Directory::new(),
    };
    let world = World::beside(vec![beside.clone()]).await;
    let body = json!({"path": "agent/poller", "when": "start", "what": "error"});
    assert_eq!(inject(&world, body).await.status, 200);
    assert_eq!(beside.directory.faults().waiting().len(), 1);
}

#[tokio::test]
async fn what_cannot_happen_is_refused_and_not_on_record() {
    let world = World::start().await;
    for (body, code) in [
        (
            json!({"path": "elsewhere/poller", "what": "panic"}),
            "actor_unknown",
        ),
        (
            json!({"path": "coordinator/nobody", "what": "kill"}),
            "actor_unknown",
        ),
        (
            json!({"path": "coordinator/nobody", "what": "panic"}),
            "actor_unknown",
        ),
        (
            json!({"path": "coordinator/nobody", "what": "hang", "when": "stop"}),
            "actor_unknown",
        ),
        (
            json!({"path": "elsewhere/poller", "what": "error", "when": "start"}),
            "actor_unknown",
        ),
        (
            json!({"path": format!("coordinator/{}", "a".repeat(FAULT_PATH_BYTES_MAX)), "what": "kill"}),
            "bad_fault",
        ),
        (
            json!({"path": PATH, "what": "kill", "when": "start"}),
            "bad_fault",
        ),
        (
            json!({"path": PATH, "what": "error", "when": "stop"}),
            "bad_fault",
        ),
        (
            json!({"path": PATH, "what": "panic", "when": {"message": 0}}),
            "bad_fault",
        ),
        (json!({"path": PATH, "what": {"block_ms": 600_001}}), "bad_fault"),
        (json!({"path": PATH, "what": "explode"}), "body_invalid"),
    ] {
        assert_eq!(inject(&world, body.clone()).await.problem().code, code, "{body}");
    }
    let chaos: ChaosView = world.say("GET", "/v1/chaos").send().await.json();
    assert_eq!((chaos.waiting.len(), chaos.acts.len()), (0, 0));
}

#[tokio::test]
async fn what_there_is_no_room_for_is_not_on_record() {
    let world = World::start().await;
    let directory = world.tree.directory();
    for _ in 0..FAULTS_MAX {
        let fault = Fault {
            path: PATH.to_owned(),
            when: faults::When::Start,
            what: faults::What::Error,
        };
        directory.faults().inject(fault).unwrap();
    }
    let refused = inject(&world, json!({"path": PATH, "what": "panic"})).await;
    assert_eq!(refused.problem().code, "faults_full");
    directory.faults().clear();
    let chaos: ChaosView = world.say("GET", "/v1/chaos").send().await.json();
    assert_eq!((chaos.waiting.len(), chaos.acts.len()), (0, 0));
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_happen() {
    let (world, nexus) = World::with_nexus().await;
    nexus.set_available(false);
    let refused = inject(&world, json!({"path": PATH, "what": "panic"})).await;
    assert_eq!(refused.problem().code, "nexus_unavailable");
    nexus.set_available(true);
    let chaos: ChaosView = world.say("GET", "/v1/chaos").send().await.json();
    assert_eq!((chaos.waiting.len(), chaos.acts.len()), (0, 0));
}

#[tokio::test]
async fn agents_may_not() {
    let world = World::start().await;
    for (method, path) in [
        ("GET", "/v1/chaos"),
        ("POST", "/v1/chaos"),
        ("POST", "/v1/chaos/clear"),
    ] {
        assert_eq!(world.ask(method, path).send().await.status, 401);
        assert_eq!(world.ask(method, path).token(JOIN).send().await.status, 403);
    }
}
