//! How far a run has come, and what may end it before its time.
//!
//! A run goes through the phases in order and never back, except that what interrupts a step repeats it: each is made
//! to be repeated. The start of the command is a future that the table owns, so that it is made exactly once even if the
//! actor that waits for it dies.

use std::sync::Arc;
use std::time::Duration;

use domain::job::{GiveBack, RunEnd, Usage};
use domain::{Cause, Span};
use executor::{Execution, LaunchError};
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::delivery::Delivery;
use crate::clock::BootTime;
use crate::run::Run;

/// A start under way. It stands still while nobody waits for it, and is abandoned only with the run.
pub type Start = Shared<BoxFuture<'static, Result<Arc<dyn Execution>, Arc<LaunchError>>>>;

/// How long a command that was asked to end may take.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// One held lease in the table.
pub(super) struct Entry {
    pub(super) run: Arc<Run>,
    pub(super) phase: Phase,
    /// The slot that it occupies, from its start to its end.
    pub(super) slot: Option<usize>,
    /// When the request was sent that it was granted to.
    pub(super) admitted_at: BootTime,
    /// When the last accepted request for this lease was sent.
    pub(super) confirmed_at: BootTime,
    /// The coordinator said that the lease is not ours any more.
    pub(super) lost: bool,
    /// Somebody wants it to end.
    pub(super) halt: Option<Halt>,
    /// How many actors have taken it on in short order, and when the last one did.
    pub(super) attachments: u32,
    pub(super) attached_at: Option<Instant>,
    /// It was put into a slot once.
    pub(super) attempted: bool,
    /// There is, or may be, a work directory.
    pub(super) made_files: bool,
}

/// The steps of a run, in order.
pub(super) enum Phase {
    /// Held, not started.
    Unstarted,
    /// The work directory and the inputs are being made.
    Preparing,
    /// The command is being started.
    Starting(Start),
    /// The command runs, or ran and its end has not been noticed.
    Running(Watched),
    /// The command is over; artifacts and log go to the coordinator.
    Collecting(Outcome),
    /// The coordinator is to be told.
    Ended(Box<Delivery>),
    /// The coordinator is to take the lease back.
    Returning(GiveBack),
}

/// Why a run is ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// It ran for longer than it may.
    Timeout,
    /// The job was cancelled.
    Cancel,
    /// The owner of the machine wants it back now.
    Preempt,
    /// Its log cannot be stored.
    DiskFull,
}

/// A running command.
pub(super) struct Watched {
    pub(super) execution: Arc<dyn Execution>,
    pub(super) started_at: Instant,
    pub(super) frozen_at: Option<Instant>,
    /// How long it stood still before that.
    pub(super) frozen_for: Duration,
    /// It was asked to end for this reason, and is killed at this time.
    pub(super) halting: Option<(Halt, Option<Instant>)>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The end, before artifacts were looked for.
    pub end: RunEnd,
    /// How long it ran, without the time that it was frozen.
    pub ran: Span,
    /// What it used.
    pub usage: Usage,
}

impl Outcome {
    /// The outcome of a command that never ran.
    pub fn unstarted(end: RunEnd) -> Self {
        Self {
            end,
            ran: Span::from_millis(0),
            usage: Usage::default(),
        }
    }

    /// Whether what the command left behind is collected: it ran, and nobody gave it up.
    pub const fn leaves_artifacts(&self) -> bool {
        match &self.end {
            RunEnd::Succeeded => true,
            RunEnd::Failed(cause) => {
                matches!(cause, Cause::Exit { .. } | Cause::Signal { .. } | Cause::Timeout)
            }
            RunEnd::Cancelled => false,
        }
    }

    /// Nobody wants what the command left behind any more, if it is still to be collected.
    pub(super) fn give_up_artifacts(&mut self, halt: Halt) {
        if self.leaves_artifacts() {
            self.end = halt.end();
        }
    }
}

impl Halt {
    /// The end that a run has which was ended for this reason.
    pub(super) const fn end(self) -> RunEnd {
        match self {
            Self::Timeout => RunEnd::Failed(Cause::Timeout),
            Self::Cancel => RunEnd::Cancelled,
            Self::Preempt => RunEnd::Failed(Cause::Preempted),
            Self::DiskFull => RunEnd::Failed(Cause::Disk),
        }
    }

    /// Whether the command gets no time to end by itself.
    const fn is_abrupt(self) -> bool {
        match self {
            Self::Timeout | Self::Cancel => false,
            Self::Preempt | Self::DiskFull => true,
        }
    }
}

impl Entry {
    pub(super) fn new(run: Arc<Run>, phase: Phase, confirmed_at: BootTime) -> Self {
        Self {
            run,
            phase,
            slot: None,
            admitted_at: confirmed_at,
            confirmed_at,
            lost: false,
            halt: None,
            attachments: 0,
            attached_at: None,
            attempted: false,
            made_files: false,
        }
    }
}

impl Entry {
    /// Whether its lease is to be renewed: it is, unless it is on its way back.
    pub(super) const fn is_kept(&self) -> bool {
        !matches!(self.phase, Phase::Returning(_))
    }

    /// How long its command has run.
    pub(super) fn ran(&self, now: Instant) -> Duration {
        match &self.phase {
            Phase::Running(watched) => watched.ran(now),
            Phase::Collecting(outcome) => outcome.ran.duration(),
            Phase::Ended(delivery) => delivery.ran(),
            Phase::Unstarted | Phase::Preparing | Phase::Starting(_) | Phase::Returning(_) => Duration::ZERO,
        }
    }
}

impl Watched {
    pub(super) fn new(execution: Arc<dyn Execution>, now: Instant) -> Self {
        Self {
            execution,
            started_at: now,
            frozen_at: None,
            frozen_for: Duration::ZERO,
            halting: None,
        }
    }

    /// How long it has run; standing still does not count.
    pub(super) fn ran(&self, now: Instant) -> Duration {
        let until = self.frozen_at.unwrap_or(now);
        until
            .saturating_duration_since(self.started_at)
            .saturating_sub(self.frozen_for)
    }

    pub(super) fn freeze(&mut self, now: Instant) {
        if self.frozen_at.is_none() {
            self.execution.freeze();
            self.frozen_at = Some(now);
        }
    }

    pub(super) fn thaw(&mut self, now: Instant) {
        if let Some(frozen_at) = self.frozen_at.take() {
            self.frozen_for += now.saturating_duration_since(frozen_at);
            self.execution.thaw();
        }
    }

    /// Does what is due towards the end of the command, and returns when to look again.
    pub(super) fn press(&mut self, halt: Option<Halt>, timeout: Duration, now: Instant) -> Option<Instant> {
        match (self.halting, halt) {
            (Some((_, None)), _) => return None,
            (Some((halt, Some(kill_at))), _) if now >= kill_at => self.kill(halt),
            (Some((_, Some(kill_at))), _) => return Some(kill_at),
            (None, Some(halt)) if halt.is_abrupt() => self.kill(halt),
            (None, Some(halt)) => return Some(self.terminate(halt, now)),
            (None, None) if self.ran(now) >= timeout => return Some(self.terminate(Halt::Timeout, now)),
            (None, None) if self.frozen_at.is_some() => {}
            (None, None) => return now.checked_add(timeout - self.ran(now)),
        }
        None
    }

    fn terminate(&mut self, halt: Halt, now: Instant) -> Instant {
        // It could not react while it is frozen.
        self.thaw(now);
        self.execution.terminate();
        self.halting = Some((halt, Some(now + GRACE)));
        now + GRACE
    }

    pub(super) fn kill(&mut self, halt: Halt) {
        self.execution.kill();
        self.halting = Some((halt, None));
    }
}
