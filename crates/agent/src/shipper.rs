//! The shipper of one slot: brings the log of a long or talkative run to the coordinator while it runs.
//!
//! A log that is small when its run ends within a second is left alone, for it travels with the finish. Otherwise a
//! chunk is sent once a second, or one after the other while there are full ones or the run is over and waits for it. It
//! owns nothing: how far the coordinator is stands in the spool.

use std::sync::Arc;
use std::time::Duration;

use protocol::limits::LOG_CHUNK_BYTES_MAX;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::time::{Instant, sleep};

use crate::Station;
use crate::backoff::backoff;
use crate::clock::jitter;
use crate::run::Run;
use crate::ship::{ShipError, ship_chunk};

/// The time between two requests for one run.
const INTERVAL: Duration = Duration::from_secs(1);
/// Messages that may wait; nobody sends any.
const MAILBOX: usize = 8;

/// What wakes the shipper.
pub enum Msg {
    /// It is time to look.
    Look,
    /// A chunk arrived, or did not; whether there is more.
    Shipped(Result<bool, ShipError>),
}

/// See the module.
pub struct Shipper {
    station: Arc<Station>,
    slot: usize,
}

/// What dies with the shipper.
pub struct State {
    failures: u32,
    /// When the next chunk is due that is not in a hurry.
    not_before: Instant,
}

/// Restarted after any exit.
pub fn child_spec(station: &Arc<Station>, slot: usize) -> ChildSpec {
    let station = Arc::clone(station);
    let make = move || Shipper {
        station: Arc::clone(&station),
        slot,
    };
    ChildSpec::worker("shipper", &Handle::new(format!("shipper-{slot}"), MAILBOX), make)
}

impl Actor for Shipper {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        self.listen(ctx, INTERVAL)?;
        Ok(State {
            failures: 0,
            not_before: Instant::now(),
        })
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Look => self.ship(ctx, state),
            Msg::Shipped(Ok(_)) => {
                state.failures = 0;
                state.not_before = Instant::now() + INTERVAL;
                self.listen(ctx, INTERVAL)
            }
            Msg::Shipped(Err(error)) => {
                if state.failures == 0 {
                    tracing::warn!(slot = self.slot, %error, "cannot ship a log: trying again");
                }
                state.failures = state.failures.saturating_add(1);
                ctx.tick_after(backoff(state.failures, jitter()), Msg::Look);
                Ok(())
            }
        }
    }
}

impl Shipper {
    /// Looks again when something is to be shipped at once, and after `pause` in any case.
    fn listen(&self, ctx: &Ctx<Msg>, pause: Duration) -> Result<(), Failure> {
        let (table, slot) = (Arc::clone(&self.station.table), self.slot);
        ctx.task(async move {
            tokio::select! {
                () = table.bells.ship[slot].notified() => {}
                () = sleep(pause) => {}
            }
            Msg::Look
        })?;
        Ok(())
    }

    fn ship(&self, ctx: &Ctx<Msg>, state: &State) -> Result<(), Failure> {
        let now = Instant::now();
        let Some(run) = self.station.table.shippable(self.slot, now) else {
            return self.listen(ctx, INTERVAL);
        };
        if now < state.not_before && !hurries(&run) {
            ctx.tick_after(state.not_before - now, Msg::Look);
            return Ok(());
        }
        let station = Arc::clone(&self.station);
        ctx.task(ship(station, run))?;
        Ok(())
    }
}

/// Sends one chunk, and more of them while it is in a hurry.
async fn ship(station: Arc<Station>, run: Arc<Run>) -> Msg {
    loop {
        let shipped = ship_chunk(&station, &run).await;
        run.shipped.notify_one();
        match shipped {
            Ok(true) if hurries(&run) => {}
            shipped => return Msg::Shipped(shipped),
        }
    }
}

/// Whether a run's log does not wait for its turn: the run is over, or there is a full chunk.
fn hurries(run: &Run) -> bool {
    run.spool.is_closed() || run.spool.backlog() >= LOG_CHUNK_BYTES_MAX as u64
}
