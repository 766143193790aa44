//! What each slot does next.
//!
//! The actor of a slot asks for its duty, does it, records the result (`progress`) and asks again. So it needs no
//! memory of its own, and a successor is given the very duty that its predecessor died at. An empty slot is given the
//! oldest lease that fits.

use std::sync::Arc;
use std::time::Duration;

use domain::job::RunEnd;
use domain::{Cause, Resources};
use executor::Execution;
use tokio::time::Instant;

use super::phase::{Entry, Outcome, Phase, Start};
use super::{RunTable, State};
use crate::clock::BootTime;
use crate::history::{Event, note};
use crate::run::Run;

/// How many actors may take on one run in short order before it is given up: something in it kills them.
const ATTACHMENTS_MAX: u32 = 10;
/// An actor that lived longer than this did not die of its run.
const SHORT_LIFE: Duration = Duration::from_secs(60);

/// The log of a younger run is not shipped,
const QUIET: Duration = Duration::from_secs(1);
/// unless it has grown beyond this.
pub(crate) const QUIET_BYTES: u64 = 64 << 10;

/// One place for a run.
#[derive(Clone, Default)]
pub(super) struct Slot {
    pub(super) run: Option<Arc<Run>>,
    /// An actor looks after it.
    pub(super) served: bool,
}

/// What the actor of a slot has to do.
pub enum Duty {
    /// Nothing: wait for work.
    Idle,
    /// Make the work directory and the inputs, then say how the command is started.
    Prepare(Arc<Run>),
    /// Wait for the start.
    Start(Arc<Run>, Start),
    /// Drain the command's output until it ends; look again at this time.
    Watch(Arc<Run>, Arc<dyn Execution>, Option<Instant>),
    /// Hand over artifacts and log.
    Collect(Arc<Run>, Outcome),
}

/// The right to serve a slot. Its drop, at the death of the actor, makes the slot free for another.
pub struct Seat {
    table: Arc<RunTable>,
    slot: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.lock().slots[self.slot].served = false;
    }
}

impl RunTable {
    /// Starts to serve a slot. A run that too many actors have died of is given up here.
    pub fn serve(self: &Arc<Self>, slot: usize, now: Instant) -> Seat {
        let mut state = self.lock();
        state.slots[slot].served = true;
        let seat = Seat {
            table: Arc::clone(self),
            slot,
        };
        let Some(run) = state.slots[slot].run.clone() else {
            return seat;
        };
        if let Some(entry) = state.entries.get_mut(&run.held) {
            let before = entry.attached_at.replace(now);
            let short = before.is_some_and(|before| now.saturating_duration_since(before) < SHORT_LIFE);
            entry.attachments = if short { entry.attachments + 1 } else { 1 };
            if entry.attachments > ATTACHMENTS_MAX {
                let why = format!("gave up after {ATTACHMENTS_MAX} failures of the actor that runs it");
                tracing::error!(job.id = %run.held.job, "a run makes its actor fail again and again: given up");
                // The last reference to an execution kills it.
                let end = RunEnd::Failed(Cause::AgentFault { why });
                self.ended_without_artifacts(&mut state, &run, Outcome::unstarted(end));
                note(&self.shape.agent, &run.held, Event::Ended);
            }
        }
        seat
    }

    /// The slots that somebody should serve and nobody does.
    pub(crate) fn unserved(&self) -> Vec<usize> {
        let state = self.lock();
        let serving_idly = state
            .slots
            .iter()
            .filter(|slot| slot.served && slot.run.is_none())
            .count();
        let mut wanted = state.unstarted.len().saturating_sub(serving_idly);
        let unserved = state.slots.iter().enumerate().filter(|(_, slot)| !slot.served);
        unserved
            .filter(|(_, slot)| {
                let needed = slot.run.is_some() || wanted > 0;
                wanted -= usize::from(needed && slot.run.is_none());
                needed
            })
            .map(|(index, _)| index)
            .collect()
    }

    /// What the slot's actor has to do now. What is due towards the end of a command is done on the way.
    pub fn duty(&self, slot: usize, now: Instant) -> Duty {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.slots[slot].run.is_none() && !self.fill(state, slot) {
            return Duty::Idle;
        }
        let Some(run) = state.slots[slot].run.clone() else {
            return Duty::Idle;
        };
        let Some(entry) = state.entries.get_mut(&run.held) else {
            state.slots[slot].run = None;
            return Duty::Idle;
        };
        match &mut entry.phase {
            Phase::Preparing | Phase::Starting(_) | Phase::Collecting(_) if entry.lost => {
                self.forget(state, &run.held);
                Duty::Idle
            }
            phase @ (Phase::Preparing | Phase::Starting(_)) => {
                if let Some(halt) = entry.halt {
                    // A start that is dropped leaves nothing running.
                    let outcome = Outcome::unstarted(halt.end());
                    *phase = Phase::Collecting(outcome.clone());
                    return Duty::Collect(run, outcome);
                }
                match phase {
                    Phase::Starting(start) => Duty::Start(run, start.clone()),
                    _ => Duty::Prepare(run),
                }
            }
            Phase::Running(watched) => {
                let was_frozen = watched.frozen_at.is_some();
                let until = watched.press(entry.halt, run.spec.timeout.duration(), now);
                if was_frozen && watched.frozen_at.is_none() {
                    note(&self.shape.agent, &run.held, Event::Thawed);
                }
                Duty::Watch(run, Arc::clone(&watched.execution), until)
            }
            Phase::Collecting(outcome) => {
                if let Some(halt) = entry.halt
                    && !run.spec.artifacts.is_empty()
                {
                    outcome.give_up_artifacts(halt);
                }
                Duty::Collect(run, outcome.clone())
            }
            Phase::Unstarted | Phase::Ended(_) | Phase::Returning(_) => {
                unreachable!("a slot is emptied when its run ends, and filled when one is started")
            }
        }
    }

    /// The run of a slot whose log should go to the coordinator: it is old or talkative enough, or over.
    pub(crate) fn shippable(&self, slot: usize, now: Instant) -> Option<Arc<Run>> {
        let state = self.lock();
        let run = state.slots[slot].run.as_ref()?;
        let due = match &state.entries.get(&run.held)?.phase {
            Phase::Running(watched) => watched.ran(now) >= QUIET || run.spool.backlog() > QUIET_BYTES,
            Phase::Collecting(_) => true,
            Phase::Unstarted
            | Phase::Preparing
            | Phase::Starting(_)
            | Phase::Ended(_)
            | Phase::Returning(_) => false,
        };
        (due && run.spool.backlog() > 0).then(|| Arc::clone(run))
    }

    /// Puts the oldest lease that fits and is still valid into an empty slot.
    fn fill(&self, state: &mut State, slot: usize) -> bool {
        if state.unstarted.is_empty() {
            return false;
        }
        let (now, free) = (BootTime::now(), self.unoccupied(state));
        let startable = |run: &Arc<Run>| {
            run.lane.resources().fits_in(free)
                && state
                    .entries
                    .get(&run.held)
                    .is_some_and(|entry| !entry.freezes_by(now))
        };
        let Some(index) = state.unstarted.iter().position(startable) else {
            return false;
        };
        let run = state.unstarted.remove(index).expect("it was just found there");
        if let Some(entry) = state.entries.get_mut(&run.held) {
            entry.phase = Phase::Preparing;
            entry.slot = Some(slot);
            entry.attempted = true;
            entry.made_files = true;
        }
        if state.lane.as_ref() != Some(&run.lane) {
            state.lane = Some(run.lane.clone());
        }
        state.slots[slot].run = Some(run);
        if !state.unstarted.is_empty() && state.idle() > 0 {
            self.ring_for_work(state);
        }
        true
    }

    /// What the runs in the slots leave of the capacity.
    fn unoccupied(&self, state: &State) -> Resources {
        let running = state.slots.iter().filter_map(|slot| slot.run.as_ref());
        running.fold(self.shape.capacity, |free, run| free.minus(run.lane.resources()))
    }
}

impl Entry {
    /// Whether the command is frozen at this time unless the lease is renewed before.
    pub(super) fn freezes_by(&self, now: BootTime) -> bool {
        fail::fail_point!(crate::fail_points::NO_FENCE, |_| false);
        now >= self
            .confirmed_at
            .plus(self.run.ttl.mul_f64(super::validity::FREEZE_AT))
    }
}
