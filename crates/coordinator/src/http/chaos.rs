//! `/v1/chaos`: faults on purpose, for drills. Only with feature `faults`, which no release build accepts.
//!
//! For people only, and on record: an injection stands in the ledger before it happens, and then in the log and among the
//! events of its tree. What cannot be recorded is not done. One for another coordinator goes to it over the mesh, with who
//! asked for it, and is recorded there.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::Principal;
use ledger::{Act, ActEntry};
use mesh::{DrillError, Link, Silence};
use protocol::chaos::{ActView, ChaosView, FAULT_MS_MAX, FAULT_PATH_BYTES_MAX, Injection, What, When};
use serde::{Deserialize, Serialize};
use supervision::faults::{self, FAULTS_MAX, Fault, Faults, InvalidFault};
use tokio::time::{Instant, sleep};

use crate::coordinator::Coordinator;
use crate::http::Shared;
use crate::http::extract::{Admin, JsonBody};
use crate::http::problem::Failed;
use crate::trees::ObservedTree;

/// How long an actor that is not there may be in the middle of a restart.
const RESTART_MAX: Duration = Duration::from_millis(500);
/// Time between two looks for one.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long another coordinator may take to record an injection and put it in place.
const DRILL_MAX: Duration = Duration::from_secs(10);

/// The routes of this file.
pub(super) fn routes() -> Router<Arc<Coordinator>> {
    Router::new()
        .route("/v1/chaos", get(show).post(inject))
        .route("/v1/chaos/clear", post(clear))
}

/// `GET /v1/chaos`.
async fn show(_: Admin, State(coordinator): Shared) -> Result<Json<ChaosView>, Failed> {
    chaos(&coordinator).await
}

/// `POST /v1/chaos`.
async fn inject(
    Admin(by): Admin,
    State(coordinator): Shared,
    JsonBody(injection): JsonBody<Injection>,
) -> Result<Json<ChaosView>, Failed> {
    if injection.path.len() > FAULT_PATH_BYTES_MAX {
        return Err(bad_fault(format!(
            "a path has {FAULT_PATH_BYTES_MAX} bytes at most"
        )));
    }
    let link = coordinator.link.as_ref();
    let elsewhere = injection
        .coordinator
        .clone()
        .filter(|name| Some(name.as_str()) != link.map(Link::name));
    match elsewhere {
        None => inject_here(&coordinator, &by, injection).await,
        Some(name) => {
            let link = link.ok_or_else(|| {
                Failed::bad_request(
                    "no_mesh",
                    format!("this coordinator has no mesh, so it cannot reach `{name}`: ask that one itself"),
                )
            })?;
            inject_elsewhere(link, &name, &Drill { by, injection }).await
        }
    }
}

/// What goes to another coordinator.
#[derive(Debug, Serialize, Deserialize)]
struct Drill {
    /// Who asked for it, an admin as this coordinator knows.
    by: Principal,
    injection: Injection,
}

async fn inject_elsewhere(link: &Link, name: &str, drill: &Drill) -> Result<Json<ChaosView>, Failed> {
    let words = serde_json::to_vec(drill).expect("an injection is JSON");
    let answer = link
        .drill(name, &words, DRILL_MAX)
        .await
        .map_err(|error| match error {
            DrillError::Unknown { .. } => Failed::not_found("coordinator_unknown", error.to_string()),
            DrillError::Silent(why) => refusal(name, &why),
        })?;
    let chaos = serde_json::from_slice(&answer);
    chaos
        .map(Json)
        .map_err(|_| unreachable_peer(name, "its answer is of another version"))
}

/// What the peer would have said to whoever had asked it, if it has.
fn refusal(name: &str, why: &Silence) -> Failed {
    let problem = match why {
        Silence::Refused(problem) => serde_json::from_str(problem).ok(),
        _ => None,
    };
    problem.map_or_else(|| unreachable_peer(name, &why.to_string()), Failed)
}

fn unreachable_peer(name: &str, why: &str) -> Failed {
    Failed::new(
        StatusCode::BAD_GATEWAY,
        "coordinator_silent",
        format!("coordinator `{name}`: {why}"),
    )
}

/// Carries out what a peer asks for.
pub(crate) async fn for_peer(coordinator: &Coordinator, words: &[u8]) -> Result<Vec<u8>, String> {
    let Drill { by, injection } = serde_json::from_slice(words).map_err(|error| error.to_string())?;
    let Json(chaos) = inject_here(coordinator, &by, injection)
        .await
        .map_err(|failed| serde_json::to_string(&failed.0).unwrap_or_else(|error| error.to_string()))?;
    serde_json::to_vec(&chaos).map_err(|error| error.to_string())
}

async fn inject_here(
    coordinator: &Coordinator,
    by: &Principal,
    injection: Injection,
) -> Result<Json<ChaosView>, Failed> {
    let path = injection.path.clone();
    let unknown = || Failed::not_found("actor_unknown", format!("there is no actor at `{path}`"));
    let tree = coordinator.trees.of(&path).ok_or_else(unknown)?;
    match fault(injection)? {
        Some(fault) => {
            // What is to start next need not be up: it may be what a drill starts then.
            if fault.when != faults::When::Start && !is_up(tree, &path).await {
                return Err(unknown());
            }
            if tree.directory.faults().waiting().len() >= FAULTS_MAX {
                return Err(InvalidFault::Full.into());
            }
            let words = in_words(&fault);
            put_on_record(coordinator, by, tree, (&path, &words)).await?;
            tree.directory.faults().inject(fault)?;
        }
        None => {
            if !is_up(tree, &path).await {
                return Err(unknown());
            }
            put_on_record(coordinator, by, tree, (&path, "kill")).await?;
            if !tree.directory.kill(&path) {
                return Err(unknown());
            }
        }
    }
    chaos(coordinator).await
}

/// Says whether there is an actor at a path, or is again in a moment: while one is started again, there is none.
async fn is_up(tree: &ObservedTree, path: &str) -> bool {
    let deadline = Instant::now() + RESTART_MAX;
    while tree.directory.find(path).is_none() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK_EVERY).await;
    }
    true
}

/// `POST /v1/chaos/clear`: takes back what has not happened yet.
async fn clear(Admin(by): Admin, State(coordinator): Shared) -> Result<Json<ChaosView>, Failed> {
    let waiting = coordinator
        .trees
        .iter()
        .map(|tree| tree.directory.faults().waiting().len())
        .sum();
    coordinator
        .ledger
        .record_act(&by, Act::FaultsCleared { waiting })
        .await?;
    tracing::warn!(%by, waiting, "faults that were to happen are taken back");
    coordinator
        .trees
        .iter()
        .for_each(|tree| tree.directory.faults().clear());
    chaos(&coordinator).await
}

async fn put_on_record(
    coordinator: &Coordinator,
    by: &Principal,
    tree: &ObservedTree,
    (path, fault): (&str, &str),
) -> Result<(), Failed> {
    let here = coordinator.link.as_ref().map(Link::name);
    let act = Act::FaultInjected {
        path: path.to_owned(),
        fault: here.map_or_else(|| fault.to_owned(), |here| format!("{fault} in {here}")),
    };
    coordinator.ledger.record_act(by, act).await?;
    tracing::warn!(%by, path, fault, "a fault is injected on purpose");
    tree.directory.note_fault(path, fault);
    Ok(())
}

/// The fault that is asked for, which is known to be possible; none for a kill.
fn fault(injection: Injection) -> Result<Option<Fault>, Failed> {
    let Injection { path, when, what, .. } = injection;
    let what = match what {
        What::Kill if when.is_some() => return Err(bad_fault("a kill is at once: leave `when` out")),
        What::Kill => return Ok(None),
        What::BlockMs(ms) | What::DelayMs(ms) if ms > FAULT_MS_MAX => {
            return Err(bad_fault(format!("a fault lasts {FAULT_MS_MAX} ms at most")));
        }
        What::Panic => faults::What::Panic,
        What::Error => faults::What::Error,
        What::Hang => faults::What::Hang,
        What::BlockMs(ms) => faults::What::Block(Duration::from_millis(ms)),
        What::DelayMs(ms) => faults::What::Delay(Duration::from_millis(ms)),
    };
    let when = match when.unwrap_or(When::Message(1)) {
        When::Start => faults::When::Start,
        When::Message(n) => faults::When::Message(n),
        When::Stop => faults::When::Stop,
    };
    let fault = Fault { path, when, what };
    // Asked of a plan of nobody's, so that only what can happen comes on record.
    Faults::default().inject(fault.clone())?;
    Ok(Some(fault))
}

impl From<InvalidFault> for Failed {
    fn from(error: InvalidFault) -> Self {
        match error {
            InvalidFault::Impossible { .. } | InvalidFault::NeverCounted => bad_fault(error.to_string()),
            InvalidFault::Full => Self::new(StatusCode::CONFLICT, "faults_full", error.to_string()),
        }
    }
}

fn bad_fault(detail: impl Into<String>) -> Failed {
    Failed::bad_request("bad_fault", detail)
}

async fn chaos(coordinator: &Coordinator) -> Result<Json<ChaosView>, Failed> {
    let waiting = coordinator
        .trees
        .iter()
        .flat_map(|tree| tree.directory.faults().waiting())
        .filter_map(|fault| view(&fault));
    Ok(Json(ChaosView {
        waiting: waiting.collect(),
        acts: coordinator.ledger.acts().await?.into_iter().map(act).collect(),
    }))
}

/// A waiting fault; none for those of calls, which only tests put there.
fn view(fault: &Fault) -> Option<Injection> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let when = match fault.when {
        faults::When::Start => When::Start,
        faults::When::Message(n) => When::Message(n),
        faults::When::Stop => When::Stop,
        faults::When::Call(_) => return None,
    };
    let what = match fault.what {
        faults::What::Panic => What::Panic,
        faults::What::Error => What::Error,
        faults::What::Hang => What::Hang,
        faults::What::Block(time) => What::BlockMs(millis(time)),
        faults::What::Delay(time) => What::DelayMs(millis(time)),
        faults::What::LoseReply | faults::What::Duplicate => return None,
    };
    Some(Injection {
        path: fault.path.clone(),
        when: Some(when),
        what,
        coordinator: None,
    })
}

fn in_words(fault: &Fault) -> String {
    match view(fault) {
        Some(Injection {
            when: Some(when),
            what,
            ..
        }) => format!("{what} at {when}"),
        Some(_) | None => format!("{fault}"),
    }
}

fn act(entry: ActEntry) -> ActView {
    let ActEntry { at, by, act } = entry;
    let (act, path, detail) = match act {
        Act::FaultInjected { path, fault } => ("fault_injected", Some(path), fault),
        Act::FaultsCleared { waiting } => ("faults_cleared", None, format!("{waiting} had not happened yet")),
    };
    ActView {
        at,
        by,
        act: act.to_owned(),
        path,
        detail,
    }
}
