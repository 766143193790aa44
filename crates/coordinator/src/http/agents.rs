//! Agents: enrolling, listing, draining and resuming by name.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use domain::{AgentName, JobId, Lane, Resources, Timestamp, Unmet, unmet};
use ledger::record::AgentRecord;
use protocol::agents::{AgentInfo, AgentList, AgentState, AgentView, Enrolled};
use protocol::limits::SLOTS_MAX;
use tokio::sync::watch;

use crate::agents_seen::RECORD_EVERY;
use crate::coordinator::Coordinator;
use crate::http::Shared;
use crate::http::extract::{Admin, AgentCaller, JsonBody, Path};
use crate::http::jobs::wait_of;
use crate::http::problem::Failed;

/// Labels that one agent may have.
const LABELS_MAX: usize = 64;
/// Longest name of an executor, and longest version.
const WORD_CHARS_MAX: usize = 64;

/// `POST /v1/agents`: an agent says what it is, at its start and now and then. With `Prefer: wait=N` the answer waits
/// for news of its leases or its drain intent.
pub(super) async fn enrol(
    State(coordinator): Shared,
    _: AgentCaller,
    headers: HeaderMap,
    JsonBody(info): JsonBody<AgentInfo>,
) -> Result<Json<Enrolled>, Failed> {
    // Registered before anything is looked at, so that nothing is missed in between.
    let leases = coordinator.signals.agent(&info.id);
    let names = coordinator.signals.agents();
    let name = info.name.clone();
    record(&coordinator, info).await?;
    let before = coordinator.ledger.draining(&name).await?;
    let news = match (wait_of(&headers), leases) {
        (Some(wait), Some(leases)) => news_within(&coordinator, wait, leases, names).await,
        (Some(_) | None, _) => false,
    };
    let draining = if news {
        coordinator.ledger.draining(&name).await?
    } else {
        before
    };
    let ttl_ms = u64::try_from(coordinator.config.lease_ttl.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(Enrolled {
        ttl_ms,
        draining,
        news,
        era: coordinator.signals.era(),
    }))
}

/// Waits for news, for so long at most, and not beyond the end of the process.
async fn news_within(
    coordinator: &Coordinator,
    wait: Duration,
    mut leases: watch::Receiver<u64>,
    mut names: watch::Receiver<u64>,
) -> bool {
    let _parked = coordinator.metrics.park();
    tokio::select! {
        _ = leases.changed() => true,
        _ = names.changed() => true,
        () = tokio::time::sleep(wait) => false,
        () = coordinator.connections.closing().cancelled_owned() => false,
    }
}

/// Records what an agent says of itself.
pub(super) async fn record(coordinator: &Coordinator, info: AgentInfo) -> Result<(), Failed> {
    use domain::requirement::{is_label_key, is_label_value};
    let slots = u32::try_from(info.slots)
        .ok()
        .filter(|_| (1..=SLOTS_MAX).contains(&info.slots));
    let slots = slots.ok_or_else(|| {
        Failed::bad_request(
            "bad_agent",
            format!("`{}` slots: an agent has 1 to {SLOTS_MAX}", info.slots),
        )
    })?;
    let bad = info
        .labels
        .iter()
        .find(|(key, value)| !is_label_key(key) || !is_label_value(value));
    if let Some((key, value)) = bad {
        let rule = "keys and values are 1 to 63 letters, digits or `._:/+-`";
        return Err(Failed::bad_request(
            "bad_agent",
            format!("`{key} = {value}` is no label: {rule}"),
        ));
    }
    if info.labels.len() > LABELS_MAX {
        let detail = format!("{} labels: at most {LABELS_MAX} are allowed", info.labels.len());
        return Err(Failed::bad_request("bad_agent", detail));
    }
    for (what, word) in [("executor", &info.executor), ("version", &info.version)] {
        if word.is_empty() || word.chars().count() > WORD_CHARS_MAX {
            let detail = format!("`{what}`: 1 to {WORD_CHARS_MAX} characters are allowed");
            return Err(Failed::bad_request("bad_agent", detail));
        }
    }
    let record = AgentRecord {
        id: info.id,
        name: info.name,
        fingerprint: info.fingerprint,
        labels: info.labels,
        capacity: info.capacity,
        slots,
        executor: info.executor,
        version: info.version,
        enrolled_at: Timestamp(0),
    };
    coordinator.ledger.enrol(&record).await?;
    coordinator.offers.said(&record.offer(record.capacity, false));
    Ok(())
}

/// An agent with what is known of its present.
pub(super) struct Known {
    pub(super) record: AgentRecord,
    last_seen_at: Timestamp,
    running: Vec<JobId>,
    reserved: Resources,
    draining: bool,
    /// It has not been heard of for longer than a lease lives.
    pub(super) lost: bool,
}

impl Known {
    /// All that keeps it from taking a job of this lane now.
    pub(super) fn unmet(&self, lane: &Lane) -> Vec<Unmet> {
        let free = self.record.capacity.minus(self.reserved);
        let mut reasons = unmet(lane, &self.record.offer(free, self.draining));
        // Slots are no resource, so matching does not know that an agent without a free one is busy too.
        let full = self.running.len() >= self.record.slots as usize;
        if full && !reasons.contains(&Unmet::Busy) && reasons.iter().all(Unmet::passes_with_time) {
            reasons.insert(0, Unmet::Busy);
        }
        reasons
    }

    fn state(&self) -> AgentState {
        match (self.lost, self.draining, self.running.is_empty()) {
            (true, _, _) => AgentState::Lost,
            (false, true, _) => AgentState::Draining,
            (false, false, true) => AgentState::Idle,
            (false, false, false) => AgentState::Busy,
        }
    }
}

/// All agents that are not forgotten, by name and enrolment.
pub(super) async fn known(coordinator: &Coordinator) -> Result<Vec<Known>, Failed> {
    let ledger = &coordinator.ledger;
    let now = ledger.now().await?;
    // "Last seen" lags behind, because it is not written each time.
    let lost_after = coordinator.config.lease_ttl + RECORD_EVERY;
    let mut agents = Vec::new();
    for (record, last_seen_at) in ledger.agents().await? {
        let leases = ledger.leases_of(&record.id, |_| false).await?;
        let reserved = leases.iter().fold(Resources::default(), |sum, one| {
            sum.plus(one.job.lane.resources())
        });
        agents.push(Known {
            draining: ledger.draining(&record.name).await?,
            lost: now.since(last_seen_at) > lost_after,
            running: leases.into_iter().map(|one| one.job.id).collect(),
            reserved,
            last_seen_at,
            record,
        });
    }
    agents
        .sort_by(|a, b| (&a.record.name, a.record.enrolled_at).cmp(&(&b.record.name, b.record.enrolled_at)));
    Ok(agents)
}

/// `GET /v1/agents`.
pub(super) async fn list(State(coordinator): Shared, _: Admin) -> Result<Json<AgentList>, Failed> {
    Ok(Json(AgentList {
        items: known(&coordinator).await?.into_iter().map(view).collect(),
    }))
}

/// `GET /v1/agents/{name}`: all processes of that name.
pub(super) async fn show(
    State(coordinator): Shared,
    _: Admin,
    Path(name): Path<String>,
) -> Result<Json<AgentList>, Failed> {
    named(&coordinator, &name.parse()?).await
}

/// `POST /v1/agents/{name}/drain`: finish what runs, take no more. It holds until `resume`, across restarts.
pub(super) async fn drain(
    State(coordinator): Shared,
    _: Admin,
    Path(name): Path<String>,
) -> Result<Json<AgentList>, Failed> {
    set_draining(&coordinator, &name, true).await
}

/// `POST /v1/agents/{name}/resume`: take jobs again.
pub(super) async fn resume(
    State(coordinator): Shared,
    _: Admin,
    Path(name): Path<String>,
) -> Result<Json<AgentList>, Failed> {
    set_draining(&coordinator, &name, false).await
}

async fn set_draining(
    coordinator: &Arc<Coordinator>,
    name: &str,
    draining: bool,
) -> Result<Json<AgentList>, Failed> {
    let name: AgentName = name.parse()?;
    // A name without an agent is most likely misspelt.
    drop(named(coordinator, &name).await?);
    coordinator.ledger.set_draining(&name, draining).await?;
    named(coordinator, &name).await
}

async fn named(coordinator: &Coordinator, name: &AgentName) -> Result<Json<AgentList>, Failed> {
    let all = known(coordinator).await?;
    let items: Vec<AgentView> = all
        .into_iter()
        .filter(|known| known.record.name == *name)
        .map(view)
        .collect();
    if items.is_empty() {
        return Err(Failed::not_found(
            "agent_unknown",
            format!("no agent is named `{name}`"),
        ));
    }
    Ok(Json(AgentList { items }))
}

fn view(known: Known) -> AgentView {
    AgentView {
        state: known.state(),
        name: known.record.name,
        id: known.record.id,
        slots: known.record.slots as usize,
        running: known.running,
        labels: known.record.labels,
        capacity: known.record.capacity,
        executor: known.record.executor,
        version: known.record.version,
        fingerprint: known.record.fingerprint,
        enrolled_at: known.record.enrolled_at,
        last_seen_at: known.last_seen_at,
    }
}
