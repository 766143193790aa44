//! For those who run a coordinator: is it alive, is it ready, what does it count, what are its limits.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use ledger::Standing;
use protocol::limits::Limits;

use crate::http::Shared;
use crate::http::extract::AgentCaller;
use crate::http::problem::Failed;
use crate::signals::Health;
use crate::trees::{STUCK_MAX, Trees};

/// `GET /livez`: the process answers, and no actor has been stuck for longer than it takes to give up hope. Never
/// touches the nexus, and asks no actor.
pub(super) async fn livez(State(coordinator): Shared) -> Result<&'static str, Failed> {
    alive(&coordinator.trees, STUCK_MAX)
}

fn alive(trees: &Trees, stuck_max: Duration) -> Result<&'static str, Failed> {
    match trees.stuck_beyond(stuck_max) {
        None => Ok("alive\n"),
        Some((path, stuck_for)) => Err(Failed::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "actor_stuck",
            format!(
                "{path} has been stuck for {}s: start the process anew",
                stuck_for.as_secs()
            ),
        )),
    }
}

/// `GET /readyz`: send requests here, or not. The body of a good answer says what an acknowledgement is worth here.
pub(super) async fn readyz(State(coordinator): Shared) -> Result<String, Failed> {
    if coordinator.connections.closing().is_cancelled() {
        return Err(unready("the coordinator is stopping"));
    }
    let nexus = coordinator.signals.nexus();
    match nexus.health {
        Health::Up => Ok(nexus.standing.as_ref().map(ready).unwrap_or_default()),
        health => Err(not_ready(&health)),
    }
}

fn ready(standing: &Standing) -> String {
    let Standing {
        description,
        durability,
        warnings,
        ..
    } = standing;
    let mut text = format!("ready\nnexus: {description}\ndurability: {durability}\n");
    for warning in warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

/// Why requests must go elsewhere, or come again. Everybody may read it, so an outage's words, with addresses in them, stay in
/// the log.
pub(super) fn not_ready(health: &Health) -> Failed {
    unready(match health {
        Health::Unknown | Health::Up => "the state store was not asked yet".to_owned(),
        Health::Down(_) => "the state store does not answer; the coordinator's log says why".to_owned(),
        Health::Refused(why) => why.clone(),
    })
}

fn unready(detail: impl Into<String>) -> Failed {
    Failed::busy(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
}

/// `GET /metrics`, in OpenMetrics.
pub(super) async fn metrics(State(coordinator): Shared) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], coordinator.metrics.text())
}

/// `GET /v1/limits`, for everybody with a token.
pub(super) async fn limits(_: AgentCaller) -> Json<Limits> {
    Json(Limits::current())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Arc, Mutex};

    use supervision::{
        Actor, ChildSpec, Ctx, Directory, Failure, Handle, Intensity, Strategy, Tree, TreeSpec,
    };
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::trees::ObservedTree;

    /// How long anything may take that should happen at once.
    const SOON: Duration = Duration::from_secs(10);

    /// Blocks its thread until it is released.
    struct Blocker(Arc<Mutex<Receiver<()>>>);

    impl Actor for Blocker {
        type Msg = ();
        type State = ();

        async fn start(&self, _: &Ctx<()>) -> Result<(), Failure> {
            Ok(())
        }

        async fn handle(&self, _: &Ctx<()>, (): (), (): &mut ()) -> Result<(), Failure> {
            Ok(self.0.lock().expect("nobody panics").recv_timeout(SOON * 2)?)
        }
    }

    #[test]
    fn what_is_said_of_an_outage_without_a_token_names_no_address() {
        let why = "talk to Redis at forge:6379: Connection refused".to_owned();
        let detail = not_ready(&Health::Down(why)).0.detail;
        assert!(
            detail.contains("does not answer") && !detail.contains("forge"),
            "{detail}"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_with_an_actor_that_blocks_for_too_long_is_not_alive() {
        let (release, released) = channel();
        let released = Arc::new(Mutex::new(released));
        let handle = Handle::new("blocker", 1);
        let child = ChildSpec::worker("blocker", &handle, move || Blocker(Arc::clone(&released)))
            .handle_deadline(Duration::from_millis(10));
        let within = SOON;
        let spec = TreeSpec::new(Strategy::OneForOne, Intensity { max: 1, within }).child(child);
        let directory = Directory::new();
        let tree = Tree::start_in("tree", spec, &directory).await.unwrap();
        let name = "tree";
        let trees = Trees::new(vec![ObservedTree { name, directory }]);
        assert!(alive(&trees, Duration::ZERO).is_ok());
        handle.try_tell(()).unwrap();
        let limit = Duration::from_millis(20);
        let deadline = Instant::now() + SOON;
        let refusal = loop {
            if let Err(refusal) = alive(&trees, limit) {
                break refusal.0;
            }
            assert!(Instant::now() < deadline, "not stuck within {SOON:?}");
            sleep(Duration::from_millis(5)).await;
        };
        assert_eq!((refusal.status, refusal.code.as_str()), (503, "actor_stuck"));
        assert!(
            refusal.detail.starts_with("tree/blocker has been stuck for"),
            "{}",
            refusal.detail
        );
        assert!(alive(&trees, STUCK_MAX).is_ok(), "it may yet go on");
        release.send(()).unwrap();
        while alive(&trees, Duration::ZERO).is_err() {
            assert!(Instant::now() < deadline, "still stuck");
            sleep(Duration::from_millis(5)).await;
        }
        assert!(tree.stop(SOON).await.is_empty());
    }
}
