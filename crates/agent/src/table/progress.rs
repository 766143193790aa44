//! The steps of a run, as the actor of its slot reports them.
//!
//! Each of these is one change under the lock. A report about a run that is no longer there, because its lease was lost
//! meanwhile, changes nothing.

use std::sync::Arc;
use std::time::Duration;

use domain::job::{Evidence, Report, RunEnd, Usage};
use domain::{Cause, Span};
use executor::{End, Execution, ExitStatus};
use protocol::jobs::Artifact;
use tokio::time::Instant;

use super::delivery::{BATCH_GOOD, Delivery};
use super::phase::{Halt, Outcome, Phase, Start, Watched};
use super::{RunTable, State};
use crate::clock::BootTime;
use crate::history::{Event, note};
use crate::run::Run;

impl RunTable {
    /// The work directory is ready; the command is to be started like this.
    pub fn starting(&self, run: &Run, start: Start) {
        let mut state = self.lock();
        if let Some(entry) = state.entries.get_mut(&run.held)
            && matches!(entry.phase, Phase::Preparing)
        {
            entry.phase = Phase::Starting(start);
        }
    }

    /// The command runs.
    pub fn running(&self, run: &Run, execution: Arc<dyn Execution>, now: Instant) {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(&run.held) else {
            return;
        };
        if !matches!(entry.phase, Phase::Starting(_)) {
            return;
        }
        let mut watched = Watched::new(execution, now);
        note(&self.shape.agent, &run.held, Event::Started);
        if entry.lost {
            watched.kill(Halt::Preempt);
        } else if entry.freezes_by(BootTime::now()) {
            watched.freeze(now);
            note(&self.shape.agent, &run.held, Event::Frozen);
        }
        entry.phase = Phase::Running(watched);
        self.bells.fence.ring();
    }

    /// The log of a run cannot be stored: it is killed.
    pub fn disk_full(&self, run: &Run) {
        let mut state = self.lock();
        if let Some(entry) = state.entries.get_mut(&run.held) {
            entry.want(Halt::DiskFull);
        }
    }

    /// The command never ran.
    pub fn not_started(&self, run: &Run, cause: Cause) {
        let mut state = self.lock();
        if let Some(entry) = state.entries.get_mut(&run.held) {
            entry.phase = Phase::Collecting(Outcome::unstarted(RunEnd::Failed(cause)));
        }
    }

    /// The command has ended and its output is drained.
    pub fn over(&self, run: &Run, end: End, now: Instant) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(entry) = state.entries.get_mut(&run.held) else {
            return;
        };
        let Phase::Running(watched) = &entry.phase else {
            return;
        };
        note(&self.shape.agent, &run.held, Event::Ended);
        let ran = watched.ran(now);
        let halted = watched.halting.map(|(halt, _)| halt);
        let ran_for = Span::from_millis(u64::try_from(ran.as_millis()).unwrap_or(u64::MAX));
        let outcome = Outcome {
            end: run_end(halted, end.status),
            ran: ran_for,
            usage: usage(&end),
        };
        // What counts for holding ahead is how long a slot is taken, and for a short job the preparation is most of it.
        let taken = entry
            .attached_at
            .map_or(ran, |at| now.saturating_duration_since(at));
        state.pace.note(&run.lane, taken.max(ran));
        if entry.lost {
            self.forget(state, &run.held);
        } else {
            entry.phase = Phase::Collecting(outcome);
        }
    }

    /// Artifacts and log are with the coordinator, or can travel with the finish. The slot is free.
    pub fn ended(&self, run: &Arc<Run>, outcome: Outcome, artifacts: Vec<Artifact>, files_left: bool) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(entry) = state.entries.get_mut(&run.held) else {
            return;
        };
        if !matches!(entry.phase, Phase::Collecting(_)) {
            return;
        }
        entry.made_files = files_left;
        self.end(state, run, outcome, artifacts);
    }

    /// Ends a run from any phase, with nothing to show but its log.
    pub(super) fn ended_without_artifacts(&self, state: &mut State, run: &Arc<Run>, outcome: Outcome) {
        self.end(state, run, outcome, Vec::new());
    }

    fn end(&self, state: &mut State, run: &Arc<Run>, outcome: Outcome, artifacts: Vec<Artifact>) {
        let Some(entry) = state.entries.get_mut(&run.held) else {
            return;
        };
        let evidence = Evidence {
            log_bytes: run.spool.len(),
            log_digest: run.spool.digest(),
            artifacts: u32::try_from(artifacts.len()).unwrap_or(u32::MAX),
            ran: outcome.ran,
            usage: outcome.usage,
        };
        let report = Report {
            end: outcome.end,
            evidence: Some(evidence),
        };
        entry.phase = Phase::Ended(Box::new(Delivery::new(report, artifacts)));
        if let Some(slot) = entry.slot.take() {
            state.slots[slot].run = None;
        }
        state.ended.push_back(Arc::clone(run));
        // While there is work to go on with, a batch may grow: its first report and its last one ring.
        let n_ended = state.ended.len();
        if n_ended == 1 || n_ended >= BATCH_GOOD || state.unstarted.len() <= state.idle() {
            self.bells.ended.notify_one();
        }
    }
}

fn run_end(halted: Option<Halt>, status: ExitStatus) -> RunEnd {
    match (halted, status) {
        (Some(halt), _) => halt.end(),
        (None, ExitStatus::Exited(0)) => RunEnd::Succeeded,
        (None, ExitStatus::Exited(code)) => RunEnd::Failed(Cause::Exit { code }),
        (None, ExitStatus::Signaled(signal)) => RunEnd::Failed(Cause::Signal { signal }),
    }
}

fn usage(end: &End) -> Usage {
    let cpu: Duration = end.usage.user + end.usage.system;
    Usage {
        cpu_ms: u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
        peak_memory_bytes: end.usage.max_rss_bytes.unwrap_or(0),
    }
}
