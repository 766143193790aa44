//! The reporter: tells the coordinator how runs ended, and gives back leases that were not started.
//!
//! One request at a time carries all reports that are there and, in the same breath, a claim for what has become free: a
//! busy agent needs one round trip for each batch of jobs. While there is work held ahead, a batch is given a moment to
//! grow. What the coordinator misses (the end of a log, an artifact) is supplied and the report is sent again. Beside all that
//! it tells again what the nexus may have forgotten ([`crate::announce`]). It owns nothing: a report stays in the table until
//! it is answered.

use std::sync::Arc;
use std::time::Duration;

use protocol::client::{ClientError, Options};
use protocol::leases::{FinishReply, FinishRequest, ReleaseRequest};
use protocol::limits::LEASES_PER_REQUEST_MAX;
use serde::de::IgnoredAny;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::time::Instant;

use crate::backoff::backoff;
use crate::clock::{BootTime, jitter};
use crate::refusal::lasting;
use crate::run::Run;
use crate::table::{BATCH_GOOD, Batch, PutOff, Supply};
use crate::{Station, announce, artifacts, claim, ship};

/// How long a smaller one waits while there is work to go on with.
const BATCH_WAIT: Duration = Duration::from_millis(20);
/// The longest wait before the first batch is told again, by chance: all agents hear in the same moment that they have to.
const AGAIN_SPREAD: Duration = Duration::from_secs(1);
/// The wait before each further one, less up to half of it, by chance: what is new goes first.
const AGAIN_EVERY: Duration = Duration::from_millis(500);
/// How often it looks without being woken: what failed is tried again then.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that may wait; nobody sends any.
const MAILBOX: usize = 8;

/// What wakes the reporter.
pub enum Msg {
    /// It is time to look.
    Tick,
    /// A run has ended.
    Ended,
    /// A batch has waited long enough.
    Grown,
    /// A batch was answered, or was not.
    Sent(Result<(), Untold>),
    /// Leases were given back, or were not.
    Returned(Result<(), Untold>),
    /// What a report was refused for has been supplied, as far as possible.
    Supplied,
    /// What the nexus may have forgotten was told again, or could not be.
    ToldAgain(Result<(), ClientError>),
    /// It is time to go on with that.
    TellAgain,
}

/// Why something is still to be told.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    /// The request failed, or was refused as a whole.
    #[error(transparent)]
    Request(#[from] ClientError),
    /// It was answered, but nothing that it carried was taken.
    #[error(transparent)]
    PutOff(#[from] PutOff),
}

/// See the module.
pub struct Reporter {
    station: Arc<Station>,
}

/// What dies with the reporter.
pub struct State {
    sending: bool,
    returning: bool,
    supplying: bool,
    growing: bool,
    telling_again: bool,
    /// The wait before the first batch is over, or under way.
    spread: bool,
    /// How often in a row that failed.
    failures_again: u32,
    failures: u32,
    not_before: Option<Instant>,
    /// Fewer after a request was refused as a whole, until the one that it was refused for stands alone.
    batch_max: usize,
}

/// Restarted after any exit.
pub fn child_spec(station: &Arc<Station>) -> ChildSpec {
    let station = Arc::clone(station);
    ChildSpec::worker("reporter", &Handle::new("reporter", MAILBOX), move || Reporter {
        station: Arc::clone(&station),
    })
}

impl Actor for Reporter {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        self.listen(ctx)?;
        ctx.tell_self(Msg::Tick);
        Ok(State {
            sending: false,
            returning: false,
            supplying: false,
            growing: false,
            telling_again: false,
            spread: false,
            failures_again: 0,
            failures: 0,
            not_before: None,
            batch_max: LEASES_PER_REQUEST_MAX,
        })
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        let mut grown = false;
        match msg {
            Msg::Tick => {
                ctx.tick_after(LOOK, Msg::Tick);
                self.supply(ctx, state)?;
            }
            Msg::Ended => self.listen(ctx)?,
            Msg::Grown => {
                state.growing = false;
                grown = true;
            }
            Msg::Sent(answer) => {
                state.sending = false;
                on_answer(ctx, state, answer);
            }
            Msg::Returned(answer) => {
                state.returning = false;
                on_answer(ctx, state, answer);
            }
            Msg::Supplied => state.supplying = false,
            Msg::ToldAgain(answer) => on_told_again(ctx, state, &answer),
            Msg::TellAgain => state.telling_again = false,
        }
        self.tell_again(ctx, state)?;
        self.give_back(ctx, state)?;
        self.report(ctx, state, grown)
    }
}

impl Reporter {
    fn listen(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        let table = Arc::clone(&self.station.table);
        ctx.task(async move {
            table.bells.ended.notified().await;
            Msg::Ended
        })?;
        Ok(())
    }

    /// Sends what there is to report, unless it is better to wait for more.
    fn report(&self, ctx: &Ctx<Msg>, state: &mut State, grown: bool) -> Result<(), Failure> {
        let (n_reports, has_work) = self.station.table.reportable();
        if state.sending || state.paused() || n_reports == 0 {
            return Ok(());
        }
        if n_reports < BATCH_GOOD && has_work && !grown {
            if !std::mem::replace(&mut state.growing, true) {
                ctx.tick_after(BATCH_WAIT, Msg::Grown);
            }
            return Ok(());
        }
        let batch = self.station.table.batch(state.batch_max);
        if batch.runs.is_empty() {
            return Ok(());
        }
        state.sending = true;
        let station = Arc::clone(&self.station);
        ctx.task(async move { Msg::Sent(send(&station, batch).await) })?;
        Ok(())
    }

    fn give_back(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        if state.returning || state.paused() {
            return Ok(());
        }
        let Some((why, leases)) = self.station.table.returning() else {
            return Ok(());
        };
        state.returning = true;
        let station = Arc::clone(&self.station);
        ctx.task(async move { Msg::Returned(release(&station, ReleaseRequest { leases, why }).await) })?;
        Ok(())
    }

    /// One batch at a time, beside the reports that are new.
    fn tell_again(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        if state.telling_again {
            return Ok(());
        }
        let batch = self.station.table.again(BootTime::now());
        if batch.is_empty() {
            state.spread = false;
            return Ok(());
        }
        state.telling_again = true;
        if !std::mem::replace(&mut state.spread, true) {
            ctx.tick_after(AGAIN_SPREAD.mul_f64(jitter()), Msg::TellAgain);
            return Ok(());
        }
        let station = Arc::clone(&self.station);
        ctx.task(async move { Msg::ToldAgain(announce::tell_again(&station, batch).await) })?;
        Ok(())
    }

    /// Once a second at most: a coordinator that keeps missing something is not hammered.
    fn supply(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        let supplies = self.station.table.supplies();
        if supplies.is_empty() || std::mem::replace(&mut state.supplying, true) {
            return Ok(());
        }
        let station = Arc::clone(&self.station);
        ctx.task(async move {
            for (run, what) in supplies {
                supply(&station, &run, what).await;
            }
            Msg::Supplied
        })?;
        Ok(())
    }
}

impl State {
    fn paused(&self) -> bool {
        self.not_before.is_some_and(|until| Instant::now() < until)
    }
}

fn on_answer(ctx: &Ctx<Msg>, state: &mut State, answer: Result<(), Untold>) {
    let Err(error) = answer else {
        state.failures = 0;
        state.not_before = None;
        state.batch_max = LEASES_PER_REQUEST_MAX;
        return;
    };
    if state.failures == 0 {
        tracing::warn!(%error, "cannot report: trying again");
    }
    if let Untold::Request(error) = &error
        && !error.is_transient()
    {
        state.batch_max = (state.batch_max.min(BATCH_GOOD) / 2).max(1);
    }
    state.failures = state.failures.saturating_add(1);
    let pause = backoff(state.failures, jitter());
    state.not_before = Some(Instant::now() + pause);
    ctx.tick_after(pause.min(LOOK), Msg::Tick);
}

fn on_told_again(ctx: &Ctx<Msg>, state: &mut State, answer: &Result<(), ClientError>) {
    let Err(error) = answer else {
        state.failures_again = 0;
        ctx.tick_after(AGAIN_EVERY.mul_f64(1.0 - jitter() / 2.0), Msg::TellAgain);
        return;
    };
    if state.failures_again == 0 {
        tracing::warn!(%error, "cannot tell again what was reported: trying again");
    }
    state.failures_again = state.failures_again.saturating_add(1);
    ctx.tick_after(backoff(state.failures_again, jitter()), Msg::TellAgain);
}

/// Reports a batch, and claims what has become free.
async fn send(station: &Arc<Station>, batch: Batch) -> Result<(), Untold> {
    let room = station.table.room_for_report();
    let claim = room
        .as_ref()
        .map(|room| claim::request(station, Some(room), Duration::ZERO));
    let Batch { runs, finishes } = batch;
    let request = FinishRequest { finishes, claim };
    let sent_at = BootTime::now();
    // Not told to a second one because the first is slow: that would double the load of a nexus that has too much already.
    let options = Options::default().repeatable();
    let answer = station
        .client
        .post::<FinishReply>("/v1/leases/finish", &request, options)
        .await;
    station.heard(&answer);
    match answer {
        Ok(reply) => {
            let delivered = station.table.delivered(&runs, &reply.results);
            let now = BootTime::now();
            station.table.remember(request.finishes, &reply.results, now);
            if let Some(claimed) = reply.claim {
                claim::accept(station, claimed, sent_at);
            }
            drop(room);
            Ok(delivered?)
        }
        Err(error) => {
            if let ([run], Some(problem)) = (runs.as_slice(), lasting(&error)) {
                station.table.undeliverable(run, problem)?;
            }
            Err(error.into())
        }
    }
}

async fn release(station: &Station, request: ReleaseRequest) -> Result<(), Untold> {
    let answer = station
        .client
        .post::<IgnoredAny>("/v1/leases/release", &request, Options::default().repeatable())
        .await;
    station.heard(&answer);
    answer?;
    station.table.returned(&request.leases);
    let now = BootTime::now();
    station.table.remember_returned(request.why, &request.leases, now);
    Ok(())
}

/// Sends what a report was refused for, and lets the report go again. A failure is met again at the next look.
async fn supply(station: &Station, run: &Arc<Run>, what: Supply) {
    let supplied = match what {
        Supply::Log => {
            let mut more = Ok(run.spool.backlog() > 0);
            while let Ok(true) = more {
                more = ship::ship_chunk(station, run).await;
            }
            more.map(drop).map_err(|error| error.to_string())
        }
        Supply::Blobs => {
            let manifest = station.table.artifacts_of(run);
            let uploaded = artifacts::upload_again(station, run, &manifest).await;
            if let Err(error) = &uploaded
                && error.is_lasting()
            {
                return station.table.unsuppliable(run, &error.to_string());
            }
            uploaded.map_err(|error| error.to_string())
        }
    };
    match supplied {
        Ok(()) => station.table.supplied(run),
        Err(error) => {
            tracing::warn!(job.id = %run.held.job, %error, "cannot supply what the coordinator misses of a run");
        }
    }
}
