//! The poller: asks for work for open slots, and waits with the coordinator until there is some.
//!
//! Each poll is for the slots that were open when it was sent; a slot that opens later gets a poll of its own, and polls
//! that come back empty are joined in the next. While runs are being reported it stays silent, for the report carries the
//! claim. A poll is parked for a part of a lease's life only: what it returns was granted after it was sent, and counts
//! as confirmed from then. It owns nothing; a lost reply comes back with the next claim.

use std::sync::Arc;
use std::time::Duration;

use protocol::client::{ClientError, Options};
use protocol::leases::ClaimReply;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::time::Instant;

use crate::backoff::backoff;
use crate::clock::{BootTime, jitter};
use crate::table::{Room, Stop};
use crate::{Station, claim};

/// The longest that a poll is parked.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// A poll is parked for this part of a lease's life, so that a lease from it is not due for renewal when it arrives.
const WAIT_PART: u32 = 4;
/// How much longer than it is parked a poll may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest time between two polls that both bring nothing.
const EMPTY_PAUSE: Duration = Duration::from_secs(1);
/// Polls under way. More slots than that open one by one only when jobs are long, and then it does not matter.
const POLLS_MAX: usize = 4;
/// How often it looks without being woken.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that may wait; nobody sends any.
const MAILBOX: usize = 8;

/// What wakes the poller.
pub enum Msg {
    /// It is time to look.
    Tick,
    /// A slot is open.
    Open,
    /// A poll came back, with so many leases.
    Polled(Result<usize, ClientError>, Duration),
    /// The process is ending: polls are of no use any more.
    Stopping,
}

/// See the module.
pub struct Poller {
    station: Arc<Station>,
}

/// What dies with the poller.
#[derive(Default)]
pub struct State {
    polls: usize,
    failures: u32,
    /// No poll before then.
    not_before: Option<Instant>,
}

/// Restarted after any exit.
pub fn child_spec(station: &Arc<Station>) -> ChildSpec {
    let station = Arc::clone(station);
    ChildSpec::worker("poller", &Handle::new("poller", MAILBOX), move || Poller {
        station: Arc::clone(&station),
    })
}

impl Actor for Poller {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        self.listen(ctx)?;
        ctx.tell_self(Msg::Tick);
        Ok(State::default())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Tick => ctx.tick_after(LOOK, Msg::Tick),
            Msg::Open => self.listen(ctx)?,
            Msg::Polled(answer, took) => on_polled(ctx, state, &answer, took),
            Msg::Stopping => state.polls -= 1,
        }
        self.poll(ctx, state)
    }
}

impl Poller {
    fn listen(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        let table = Arc::clone(&self.station.table);
        ctx.task(async move {
            table.bells.open.notified().await;
            Msg::Open
        })?;
        Ok(())
    }

    fn poll(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        let paused = state.not_before.is_some_and(|until| Instant::now() < until);
        if paused || state.polls >= POLLS_MAX {
            return Ok(());
        }
        if let Some(room) = self.station.table.room_for_poll() {
            state.polls += 1;
            ctx.task(poll(Arc::clone(&self.station), room))?;
        }
        Ok(())
    }
}

fn on_polled(ctx: &Ctx<Msg>, state: &mut State, answer: &Result<usize, ClientError>, took: Duration) {
    state.polls -= 1;
    let pause = match answer {
        Ok(n_leases) => {
            state.failures = 0;
            (*n_leases == 0).then(|| EMPTY_PAUSE.saturating_sub(took))
        }
        Err(error) => {
            if state.failures == 0 {
                tracing::warn!(%error, "cannot ask for work: trying again");
            }
            state.failures = state.failures.saturating_add(1);
            Some(backoff(state.failures, jitter()))
        }
    };
    let pause = pause.filter(|pause| !pause.is_zero());
    state.not_before = pause.map(|pause| Instant::now() + pause);
    if let Some(pause) = pause {
        ctx.tick_after(pause.min(LOOK), Msg::Tick);
    }
}

/// One poll. It is given up when the process is to end.
async fn poll(station: Arc<Station>, room: Room) -> Msg {
    let mut stop = station.table.bells.stop.subscribe();
    let wait = (station.connection.borrow().ttl / WAIT_PART).min(WAIT_MAX);
    let request = claim::request(&station, Some(&room), wait);
    let options = Options::default()
        .timeout(wait + ANSWER_TIMEOUT)
        .watched_every(station.watch_every())
        .repeatable();
    let (sent_at, started) = (BootTime::now(), Instant::now());
    let answer = tokio::select! {
        answer = station.client.post::<ClaimReply>("/v1/claims", &request, options) => answer,
        _ = stop.wait_for(|stop| *stop != Stop::No) => return Msg::Stopping,
    };
    station.heard(&answer);
    let answer = answer.map(|reply| claim::accept(&station, reply, sent_at));
    drop(room);
    Msg::Polled(answer, started.elapsed())
}
