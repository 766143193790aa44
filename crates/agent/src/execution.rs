//! The actor of one slot: takes one run after the other through its phases.
//!
//! It asks the table for its duty, does that one step beside its mailbox, and asks again. A step that its death
//! interrupts is repeated by its successor, and what must not be repeated (the start of the command, the draining of its
//! output) goes on where it was, because it belongs to the table. So the actor owns nothing but its seat.
//!
//! Actors stay with their slots and not with one run: starting a supervised subtree for each run costs several tens of
//! microseconds, which is a part of what `/bin/true` itself takes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use domain::Cause;
use executor::{Execution as Command, Fault, LaunchError, Ready, Stream};
use futures_util::FutureExt as _;
use protocol::client::ClientError;
use protocol::frame;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::{jitter, wall};
use crate::run::Run;
use crate::table::{Duty, Outcome, QUIET_BYTES, Seat, Start};
use crate::workplace::{NotPrepared, prepare};
use crate::{Station, artifacts, backoff};

/// Most output that is drained before other messages are looked at.
const DRAIN_STEP_BYTES: usize = 256 << 10;
/// How often an idle slot looks for work without being woken.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that may wait; nobody sends any.
const MAILBOX: usize = 8;

/// What wakes the actor.
pub enum Msg {
    /// A step is done: look for the next.
    Done,
    /// A step could not be done because nobody was reached.
    Failed(ClientError),
    /// It is time to try it again.
    Retry,
}

/// See the module.
pub struct Execution {
    station: Arc<Station>,
    slot: usize,
}

/// What dies with the actor.
pub struct State {
    failures: u32,
    _seat: Seat,
}

/// Restarted after any exit; the command that it watched goes on meanwhile.
pub fn child_spec(station: &Arc<Station>, slot: usize) -> ChildSpec {
    let station = Arc::clone(station);
    let make = move || Execution {
        station: Arc::clone(&station),
        slot,
    };
    ChildSpec::worker(
        "execution",
        &Handle::new(format!("execution-{slot}"), MAILBOX),
        make,
    )
}

impl Actor for Execution {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        let seat = self.station.table.serve(self.slot, Instant::now());
        ctx.tell_self(Msg::Done);
        Ok(State {
            failures: 0,
            _seat: seat,
        })
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Done => {
                state.failures = 0;
                self.step(ctx)
            }
            Msg::Retry => self.step(ctx),
            Msg::Failed(error) => {
                if state.failures == 0 {
                    tracing::warn!(slot = self.slot, %error, "a run waits for the coordinator");
                }
                state.failures = state.failures.saturating_add(1);
                ctx.tick_after(backoff::backoff(state.failures, jitter()), Msg::Retry);
                Ok(())
            }
        }
    }
}

impl Execution {
    fn step(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        let station = Arc::clone(&self.station);
        match station.table.duty(self.slot, Instant::now()) {
            Duty::Idle => ctx.task(idle(station))?,
            Duty::Prepare(run) => ctx.task(prepare_and_start(station, run))?,
            Duty::Start(run, start) => ctx.task(wait_for_start(station, run, start))?,
            Duty::Watch(run, command, until) => ctx.task(watch(station, self.slot, run, command, until))?,
            Duty::Collect(run, outcome) => ctx.task(collect(station, self.slot, run, outcome))?,
        }
        Ok(())
    }
}

async fn idle(station: Arc<Station>) -> Msg {
    tokio::select! {
        () = station.table.bells.work.notified() => {}
        () = sleep(LOOK) => {}
    }
    Msg::Done
}

/// Prepares a run and makes its start, which then belongs to the table.
async fn prepare_and_start(station: Arc<Station>, run: Arc<Run>) -> Msg {
    if let Err(error) = station.footprints.mark(&run, None) {
        station
            .table
            .not_started(&run, crate::workplace::cause_of("record the run", &error));
        return Msg::Done;
    }
    let prepared = tokio::select! {
        prepared = prepare(&station, &run) => prepared,
        () = run.wake.notified() => return Msg::Done,
    };
    match prepared {
        Ok(launch) => {
            let executor = Arc::clone(&station.executor);
            let start = async move { executor.start(launch).await.map_err(Arc::new) };
            station.table.starting(&run, start.boxed().shared());
            Msg::Done
        }
        Err(NotPrepared::Failed(cause)) => {
            station.table.not_started(&run, cause);
            Msg::Done
        }
        Err(NotPrepared::Unreachable(error)) => Msg::Failed(error),
    }
}

async fn wait_for_start(station: Arc<Station>, run: Arc<Run>, start: Start) -> Msg {
    match start.await {
        Ok(command) => {
            let identity = command.identity();
            station.table.running(&run, command, Instant::now());
            if let Err(error) = station.footprints.mark(&run, Some(identity)) {
                // The run goes on; only its clean-up after a crash of the agent is in doubt.
                tracing::warn!(job.id = %run.held.job, %error, "cannot record the identity of a run");
            }
        }
        Err(error) => station.table.not_started(&run, cause_of_launch(&error)),
    }
    Msg::Done
}

fn cause_of_launch(error: &LaunchError) -> Cause {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    match error.fault() {
        Fault::Job => Cause::CannotStart { why },
        Fault::Machine => Cause::AgentFault { why },
    }
}

/// Watches a command until it has output, ends, is wanted to end, or is to be looked at again.
async fn watch(
    station: Arc<Station>,
    slot: usize,
    run: Arc<Run>,
    command: Arc<dyn Command>,
    until: Option<Instant>,
) -> Msg {
    let ready = tokio::select! {
        biased;
        () = run.wake.notified() => return Msg::Done,
        () = until_then(until) => return Msg::Done,
        ready = command.ready() => ready,
    };
    match (ready, command.end()) {
        (Ready::Ended, Some(end)) => station.table.over(&run, end, Instant::now()),
        (Ready::Ended | Ready::Output, _) => drain(&station, slot, &run, &*command),
    }
    Msg::Done
}

async fn until_then(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn drain(station: &Station, slot: usize, run: &Run, command: &dyn Command) {
    let mut sink = |stream, piece: &[u8]| run.spool.append(frame_stream(stream), wall(), piece);
    if let Err(error) = command.drain(&mut sink, DRAIN_STEP_BYTES) {
        report_full_disk(station, run, &error);
    }
    if run.spool.backlog() > QUIET_BYTES {
        station.table.bells.ship[slot].notify_one();
    }
}

fn report_full_disk(station: &Station, run: &Run, error: &io::Error) {
    tracing::error!(job.id = %run.held.job, %error, "cannot store the log of a run: it is ended");
    run.spool.refuse_more();
    station.table.disk_full(run);
}

const fn frame_stream(stream: Stream) -> frame::Stream {
    match stream {
        Stream::Stdout => frame::Stream::Stdout,
        Stream::Stderr => frame::Stream::Stderr,
    }
}

/// Hands over what the run left, and frees the slot.
async fn collect(station: Arc<Station>, slot: usize, run: Arc<Run>, outcome: Outcome) -> Msg {
    run.spool.close(wall());
    let collecting = async {
        let (end, manifest) = artifacts::collect(&station, &run, &outcome).await?;
        while !run.spool.is_delivered_by_finish() {
            station.table.bells.ship[slot].notify_one();
            tokio::select! {
                () = run.shipped.notified() => {}
                () = sleep(LOOK) => {}
            }
        }
        Ok((end, manifest))
    };
    let collected = tokio::select! {
        collected = collecting => collected,
        () = run.wake.notified() => return Msg::Done,
    };
    match collected {
        Ok((end, manifest)) => {
            // Artifacts may be asked for once more, so their directory stays until the report is taken.
            let keeps_files = !manifest.is_empty();
            let outcome = Outcome { end, ..outcome };
            let removed = keeps_files || remove_workdir(&station, &run);
            station
                .table
                .ended(&run, outcome, manifest, keeps_files || !removed);
            Msg::Done
        }
        Err(error) => Msg::Failed(error),
    }
}

/// Removes the work directory; of most jobs it is empty.
fn remove_workdir(station: &Station, run: &Run) -> bool {
    let removed = station.work.remove(&run.held.job.to_string(), run.held.attempt);
    if let Err(error) = &removed {
        tracing::warn!(job.id = %run.held.job, %error, "cannot remove a work directory: tried again later");
    }
    removed.is_ok()
}

#[cfg(test)]
mod tests;
