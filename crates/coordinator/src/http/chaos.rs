//! `/v1/chaos`: faults on purpose, for drills. Only with feature `faults`, which no release build accepts.
//!
//! For people only, and on record: an injection stands in the ledger before it happens, and then in the log and among the
//! events of its tree. What cannot be recorded is not done.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::Principal;
use ledger::{Act, ActEntry};
use protocol::chaos::{ActView, ChaosView, FAULT_MS_MAX, FAULT_PATH_BYTES_MAX, Injection, What, When};
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
    let path = injection.path.clone();
    if path.len() > FAULT_PATH_BYTES_MAX {
        return Err(bad_fault(format!(
            "a path has {FAULT_PATH_BYTES_MAX} bytes at most"
        )));
    }
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
            put_on_record(&coordinator, &by, tree, (&path, &words)).await?;
            tree.directory.faults().inject(fault)?;
        }
        None => {
            if !is_up(tree, &path).await {
                return Err(unknown());
            }
            put_on_record(&coordinator, &by, tree, (&path, "kill")).await?;
            if !tree.directory.kill(&path) {
                return Err(unknown());
            }
        }
    }
    chaos(&coordinator).await
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
    let act = Act::FaultInjected {
        path: path.to_owned(),
        fault: fault.to_owned(),
    };
    coordinator.ledger.record_act(by, act).await?;
    tracing::warn!(%by, path, fault, "a fault is injected on purpose");
    tree.directory.note_fault(path, fault);
    Ok(())
}

/// The fault that is asked for, which is known to be possible; none for a kill.
fn fault(injection: Injection) -> Result<Option<Fault>, Failed> {
    let Injection { path, when, what } = injection;
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
