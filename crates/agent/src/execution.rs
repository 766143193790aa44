//! The actor of one slot: takes one run after the other through its phases.
//!
//! Beside its mailbox it asks the table for the slot's duty, does it, and asks again until the run is over. A step that
//! its death interrupts is repeated by its successor, and what must not be repeated (the start of the command, the
//! draining of its output) goes on where it was, because it belongs to the table. So the actor owns nothing but its seat.
//!
//! Actors stay with their slots and not with one run, and steps are not messages: a supervised subtree for each run would
//! cost several tens of microseconds and a message for each step as much again, a part of what `/bin/true` itself takes.

use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use domain::{Cause, Timestamp};
use executor::workdir::TEMPORARY_DIR;
use executor::{Execution as Command, Fault, LaunchError, Ready, Stream};
use futures_util::FutureExt as _;
use protocol::client::ClientError;
use protocol::frame;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep, sleep_until};

use crate::blocking::blocking;
use crate::clock::{jitter, wall};
use crate::run::Run;
use crate::table::{Duty, Outcome, QUIET_BYTES, Seat, Start};
use crate::workplace::{NotPrepared, cause_of, prepare};
use crate::{Station, artifacts, backoff};

/// Most output that is drained before other messages are looked at.
const DRAIN_STEP_BYTES: usize = 256 << 10;
/// How often an idle slot looks for work without being woken.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that may wait; nobody sends any.
const MAILBOX: usize = 8;

/// What wakes the actor.
pub enum Msg {
    /// A run is over, or there was none: look for the next.
    Next,
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
        ctx.tell_self(Msg::Next);
        Ok(State {
            failures: 0,
            _seat: seat,
        })
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Next => state.failures = 0,
            Msg::Retry => {}
            Msg::Failed(error) => {
                if state.failures == 0 {
                    tracing::warn!(slot = self.slot, %error, "a run waits for the coordinator");
                }
                state.failures = state.failures.saturating_add(1);
                ctx.tick_after(backoff::backoff(state.failures, jitter()), Msg::Retry);
                return Ok(());
            }
        }
        ctx.task(serve(Arc::clone(&self.station), self.slot))?;
        Ok(())
    }
}

/// Does what the slot's run needs, one step after the other, until it is over; or waits for work once.
async fn serve(station: Arc<Station>, slot: usize) -> Msg {
    loop {
        let step = match station.table.duty(slot, Instant::now()) {
            Duty::Idle => {
                idle(&station).await;
                return Msg::Next;
            }
            Duty::Prepare(run) => prepare_and_start(&station, &run).await,
            Duty::Start(run, start) => {
                wait_for_start(&station, &run, start).await;
                Ok(())
            }
            Duty::Watch(run, command, until) => {
                watch(&station, slot, &run, &command, until).await;
                Ok(())
            }
            Duty::Collect(run, outcome) => collect(&station, slot, &run, outcome).await,
        };
        if let Err(error) = step {
            return Msg::Failed(error);
        }
    }
}

async fn idle(station: &Station) {
    tokio::select! {
        () = station.table.bells.work.notified() => {}
        () = sleep(LOOK) => {}
    }
}

/// Prepares a run and makes its start, which then belongs to the table.
async fn prepare_and_start(station: &Arc<Station>, run: &Arc<Run>) -> Result<(), ClientError> {
    if let Err(error) = station.footprints.mark(run, None) {
        station.table.not_started(run, cause_of("record the run", &error));
        return Ok(());
    }
    let prepared = tokio::select! {
        prepared = prepare(station, run) => prepared,
        () = run.wake.notified() => return Ok(()),
    };
    match prepared {
        Ok(launch) => {
            let executor = Arc::clone(&station.executor);
            let start = async move { executor.start(launch).await.map_err(Arc::new) };
            station.table.starting(run, start.boxed().shared());
            Ok(())
        }
        Err(NotPrepared::Failed(cause)) => {
            station.table.not_started(run, cause);
            Ok(())
        }
        Err(NotPrepared::Unreachable(error)) => Err(error),
    }
}

async fn wait_for_start(station: &Station, run: &Run, start: Start) {
    let started = tokio::select! {
        biased;
        started = start => started,
        // An executor that does not answer keeps nobody from ending the run.
        () = run.wake.notified() => return,
    };
    match started {
        Ok(command) => {
            let started_at = Instant::now();
            fail::fail_point!(crate::fail_points::STARTED);
            // Until the table has the command, nobody but this actor forgets the run: no footprint follows its wiping.
            if station.table.holds(&run.held)
                && let Err(error) = station.footprints.mark(run, Some(command.identity()))
            {
                // The run goes on; only its clean-up after a crash of the agent is in doubt.
                tracing::warn!(job.id = %run.held.job, %error, "cannot record the identity of a run");
            }
            station.table.running(run, command, started_at);
        }
        Err(error) => station.table.not_started(run, cause_of_launch(&error)),
    }
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
    station: &Station,
    slot: usize,
    run: &Arc<Run>,
    command: &Arc<dyn Command>,
    until: Option<Instant>,
) {
    let watching = async {
        // A drain that was begun before may still wait for the disk.
        let draining = Arc::clone(&run.draining).lock_owned().await;
        match (command.ready().await, command.end()) {
            (Ready::Ended, Some(end)) => station.table.over(run, end, Instant::now()),
            (Ready::Ended | Ready::Output, _) => drain(station, slot, run, command, draining).await,
        }
    };
    tokio::select! {
        biased;
        () = run.wake.notified() => {}
        () = until_then(until) => {}
        () = watching => {}
    }
}

async fn until_then(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

async fn drain(
    station: &Station,
    slot: usize,
    run: &Arc<Run>,
    command: &Arc<dyn Command>,
    draining: OwnedMutexGuard<()>,
) {
    let drained = match drain_step(&**command, |stream, at, piece| {
        run.spool.try_append(stream, at, piece)
    }) {
        // The piece that the log could not take without the disk comes again.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let (run, command) = (Arc::clone(run), Arc::clone(command));
            blocking(move || {
                let _draining = draining;
                drain_step(&*command, |stream, at, piece| run.spool.append(stream, at, piece))
            })
            .await
        }
        drained => drained,
    };
    if let Err(error) = drained {
        report_full_disk(station, run, &error);
    }
    if run.spool.backlog() > QUIET_BYTES {
        station.table.bells.ship[slot].notify_one();
    }
}

fn drain_step(
    command: &dyn Command,
    append: impl Fn(frame::Stream, Timestamp, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut sink = |stream, piece: &[u8]| append(frame_stream(stream), wall(), piece);
    command.drain(&mut sink, DRAIN_STEP_BYTES).map(drop)
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
async fn collect(
    station: &Station,
    slot: usize,
    run: &Arc<Run>,
    outcome: Outcome,
) -> Result<(), ClientError> {
    let collecting = async {
        if run.spool.try_close(wall()).is_err() {
            let run = Arc::clone(run);
            blocking(move || run.spool.close(wall())).await;
        }
        let (end, manifest) = match run.spec.artifacts.is_empty() {
            true => (outcome.end.clone(), Vec::new()),
            // On the heap, for most runs do without and should not carry it.
            false => Box::pin(artifacts::collect(station, run, &outcome)).await?,
        };
        while !run.spool.is_delivered_by_finish() {
            station.table.bells.ship[slot].notify_one();
            tokio::select! {
                () = run.shipped.notified() => {}
                () = sleep(LOOK) => {}
            }
        }
        Ok::<_, ClientError>((end, manifest))
    };
    let (end, manifest) = tokio::select! {
        collected = collecting => collected?,
        () = run.wake.notified() => return Ok(()),
    };
    fail::fail_point!(crate::fail_points::UPLOADED, |_| {
        Err(ClientError::BadReply("a fail point".to_owned()))
    });
    // Artifacts may be asked for once more, so their directory stays until the report is taken.
    let files_left = !manifest.is_empty() || !remove_empty_workdir(run);
    station
        .table
        .ended(run, Outcome { end, ..outcome }, manifest, files_left);
    Ok(())
}

/// Removes the work directory of a run that left nothing there, as most do. Everything else may take long, and is left
/// to the marshal.
fn remove_empty_workdir(run: &Run) -> bool {
    let Some(workdir) = run.workdir.get() else {
        return true;
    };
    let remove = || fs::remove_dir(workdir.join(TEMPORARY_DIR)).and_then(|()| fs::remove_dir(workdir));
    matches!(run.site.try_run(run.site.errand(), remove), Some(Ok(())))
}

#[cfg(test)]
mod tests;
