//! The session: makes this agent known to the coordinators, and keeps it known.
//!
//! It enrols at the start, whenever a coordinator does not know the agent, and every few seconds to be seen as alive. What
//! it learns (the TTL of leases, whether the pool wants the agent to drain) goes into the station and the table. It owns
//! nothing; a claim can enrol as well, so work does not wait for it. Being unreachable is a state, not a crash.

use std::sync::Arc;
use std::time::Duration;

use protocol::agents::Enrolled;
use protocol::client::{ClientError, Options};
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::time::Instant;

use crate::Station;
use crate::backoff::backoff;
use crate::clock::jitter;

/// How often the coordinators are told that the agent is there; so long they may park the request and answer with news.
const REFRESH: Duration = Duration::from_secs(10);
/// How long an enrolment may take beyond what it is parked.
const ENROL_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages that may wait; nobody sends any.
const MAILBOX: usize = 8;

/// What wakes the session.
pub enum Msg {
    /// It is time to enrol.
    Refresh,
    /// A coordinator does not know the agent, or its answer came.
    Forgotten,
    /// An enrolment was answered.
    Answered(Result<Enrolled, ClientError>, Duration),
}

/// See the module.
pub struct Session {
    station: Arc<Station>,
}

/// What dies with the session.
#[derive(Default)]
pub struct State {
    asking: bool,
    /// It has enrolled, so further requests may be parked.
    known: bool,
    /// A task waits to hear that the agent is forgotten. One is enough, however often it enrols.
    watching: bool,
    failures: u32,
}

/// Restarted after any exit.
pub fn child_spec(station: &Arc<Station>) -> ChildSpec {
    let station = Arc::clone(station);
    ChildSpec::worker("session", &Handle::new("session", MAILBOX), move || Session {
        station: Arc::clone(&station),
    })
}

impl Actor for Session {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        ctx.tell_self(Msg::Refresh);
        Ok(State::default())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Refresh => self.enrol(ctx, state),
            Msg::Forgotten => {
                state.watching = false;
                self.enrol(ctx, state)
            }
            Msg::Answered(answer, after) => self.on_answer(ctx, state, answer, after),
        }
    }
}

impl Session {
    fn enrol(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        if std::mem::replace(&mut state.asking, true) {
            return Ok(());
        }
        let station = Arc::clone(&self.station);
        // The first one is answered at once: work waits for it.
        let wait = if state.known { REFRESH } else { Duration::ZERO };
        ctx.task(async move {
            let options = Options::default()
                .timeout(wait + ENROL_TIMEOUT)
                .watched_every(station.watch_every())
                .repeatable()
                .header("prefer", &format!("wait={}", wait.as_secs()));
            let asked_at = Instant::now();
            let answer = station.client.post("/v1/agents", &station.info, options).await;
            Msg::Answered(answer, asked_at.elapsed())
        })?;
        Ok(())
    }

    fn watch(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        if std::mem::replace(&mut state.watching, true) {
            return Ok(());
        }
        let mut connection = self.station.connection.subscribe();
        ctx.task(async move {
            // An error would say that the station is gone, and with it this actor.
            connection.wait_for(|connection| !connection.enrolled).await.ok();
            Msg::Forgotten
        })?;
        Ok(())
    }

    fn on_answer(
        &self,
        ctx: &Ctx<Msg>,
        state: &mut State,
        answer: Result<Enrolled, ClientError>,
        after: Duration,
    ) -> Result<(), Failure> {
        state.asking = false;
        self.station.heard(&answer);
        match answer {
            Ok(enrolled) => {
                state.failures = 0;
                let is_first = !std::mem::replace(&mut state.known, true);
                // A coordinator that parks requests sets the pace; one that does not is not hammered.
                let pause = if is_first || enrolled.news || after >= REFRESH {
                    Duration::ZERO
                } else {
                    REFRESH
                };
                let ttl = Duration::from_millis(enrolled.ttl_ms);
                self.station.connect(|connection| {
                    connection.enrolled = true;
                    connection.ttl = ttl;
                });
                self.station.table.draining(enrolled.draining);
                self.station.heard_era(enrolled.era.as_deref());
                if enrolled.news {
                    self.station.table.bells.renew.notify_one();
                }
                ctx.tick_after(pause, Msg::Refresh);
                self.watch(ctx, state)?;
            }
            Err(error) => {
                if state.failures == 0 {
                    tracing::warn!(%error, "cannot enrol: trying again");
                }
                state.failures = state.failures.saturating_add(1);
                ctx.tick_after(backoff(state.failures, jitter()), Msg::Refresh);
            }
        }
        Ok(())
    }
}
