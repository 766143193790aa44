//! The lifeline: keeps every held lease alive with one request for all of them.
//!
//! It renews when a third of the shortest lease's life has passed, and at once when the session hears that there is
//! news. The answers are the only way
//! to learn that a job is to be cancelled or a lease was taken, and of leases that a lost reply never delivered. It owns
//! nothing: what is due is read from the table, and a renewal that failed is due again at the next look.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use protocol::client::{ClientError, Options};
use protocol::leases::{Proof, RenewReply, RenewRequest};
use protocol::limits::LEASES_PER_REQUEST_MAX;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::time::Instant;

use crate::Station;
use crate::backoff::backoff;
use crate::clock::{BootTime, jitter};

/// How often it looks whether a renewal is due.
const LOOK: Duration = Duration::from_millis(500);
/// The longest that a renewal may take, whoever is asked; and never longer than this part of a lease's life, so that a
/// connection that hangs leaves time for another try before anything is frozen.
const RENEW_TIMEOUT: Duration = Duration::from_secs(5);
const RENEW_PART: u32 = 5;
/// The shortest time for that.
const RENEW_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// The part of a lease's life after which another coordinator is asked too: one that lives and cannot reach its nexus
/// must not cost a lease while another can. Several can be asked before anything is frozen.
const HEDGE_PART: u32 = 6;
/// The shortest and the longest time for that.
const HEDGE_MIN: Duration = Duration::from_millis(300);
const HEDGE_MAX: Duration = Duration::from_millis(1500);
/// Messages that may wait; nobody sends any.
const MAILBOX: usize = 8;

/// What wakes the lifeline.
pub enum Msg {
    /// It is time to look.
    Tick,
    /// There is news of a lease: renew without waiting.
    News,
    /// A renewal was answered, or was not.
    Renewed(Result<(), ClientError>),
}

/// See the module.
pub struct Lifeline {
    station: Arc<Station>,
}

/// What dies with the lifeline.
#[derive(Default)]
pub struct State {
    renewing: bool,
    again: bool,
    failures: u32,
}

/// Restarted after any exit.
pub fn child_spec(station: &Arc<Station>) -> ChildSpec {
    let station = Arc::clone(station);
    ChildSpec::worker("lifeline", &Handle::new("lifeline", MAILBOX), move || Lifeline {
        station: Arc::clone(&station),
    })
}

impl Actor for Lifeline {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        self.await_news(ctx)?;
        ctx.tell_self(Msg::Tick);
        Ok(State::default())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Tick => {
                ctx.tick_after(LOOK, Msg::Tick);
                match self.station.table.due_renewals(BootTime::now()) {
                    Some(proofs) => self.renew(ctx, state, proofs),
                    None => Ok(()),
                }
            }
            Msg::News => {
                self.await_news(ctx)?;
                // The renewal under way may have been answered before the news.
                state.again = state.renewing;
                self.renew(ctx, state, self.station.table.all_renewals())
            }
            Msg::Renewed(answer) => {
                self.on_renewed(ctx, state, &answer);
                match std::mem::take(&mut state.again) {
                    true => self.renew(ctx, state, self.station.table.all_renewals()),
                    false => Ok(()),
                }
            }
        }
    }
}

impl Lifeline {
    fn await_news(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        let table = Arc::clone(&self.station.table);
        ctx.task(async move {
            table.bells.renew.notified().await;
            Msg::News
        })?;
        Ok(())
    }

    fn renew(&self, ctx: &Ctx<Msg>, state: &mut State, proofs: Vec<Proof>) -> Result<(), Failure> {
        if std::mem::replace(&mut state.renewing, true) {
            return Ok(());
        }
        let station = Arc::clone(&self.station);
        ctx.task(async move { Msg::Renewed(renew_all(&station, &proofs).await) })?;
        Ok(())
    }

    fn on_renewed(&self, ctx: &Ctx<Msg>, state: &mut State, answer: &Result<(), ClientError>) {
        state.renewing = false;
        let Err(error) = answer else {
            state.failures = 0;
            return;
        };
        if state.failures == 0 {
            tracing::warn!(%error, "cannot renew the leases: trying again");
        }
        state.failures = state.failures.saturating_add(1);
        ctx.tick_after(backoff(state.failures, jitter()), Msg::Tick);
    }
}

/// Renews all of these leases; almost always that is one request. It is sent without leases too, for its reply names
/// those that this process should hold and does not know of.
pub(crate) async fn renew_all(station: &Station, proofs: &[Proof]) -> Result<(), ClientError> {
    let (first, rest) = proofs.split_at(proofs.len().min(LEASES_PER_REQUEST_MAX));
    for part in iter::once(first).chain(rest.chunks(LEASES_PER_REQUEST_MAX)) {
        let request = RenewRequest {
            agent: station.info.id.clone(),
            leases: station.table.renewals(part, Instant::now()),
        };
        let sent_at = BootTime::now();
        let ttl = station.connection.borrow().ttl;
        let limit = (ttl / RENEW_PART).clamp(RENEW_TIMEOUT_MIN, RENEW_TIMEOUT);
        let hedge_after = (ttl / HEDGE_PART).clamp(HEDGE_MIN, HEDGE_MAX);
        let options = Options::default().timeout(limit).hedge_after(hedge_after);
        let answer = station
            .client
            .post::<RenewReply>("/v1/leases/renew", &request, options)
            .await;
        station.heard(&answer);
        let reply = answer?;
        station
            .table
            .renewed(part, &reply.standings, sent_at, Instant::now());
        station.heard_era(reply.era.as_deref());
        station.table.draining(reply.draining);
        station.table.admit(reply.unlisted, sent_at);
    }
    Ok(())
}
