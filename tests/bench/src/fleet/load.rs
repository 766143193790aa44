//! What is submitted to a fleet: so many jobs, in batches, either as fast as room becomes free or by the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use protocol::jobs::{BatchItem, BatchSubmit, BatchSubmitted};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::tally::Tally;
use super::wire::Wire;
use super::{Doors, STALL_MAX};

/// What is submitted, and how.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) jobs: usize,
    /// Jobs of one request.
    pub(crate) batch: usize,
    pub(crate) pace: Pace,
    /// Requests that may be under way at the same time, spread over the coordinators.
    pub(crate) submitters: usize,
}

/// When the next request is sent.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as no more than so many jobs would be unfinished.
    Window(usize),
    /// By the clock, so many requests a second, however slow the answers are.
    Rate(f64),
}

/// One connection that submits.
struct Submitter {
    load: Load,
    tally: Arc<Tally>,
    room: Arc<Semaphore>,
    /// The number of the next job that nobody has submitted.
    next: Arc<AtomicUsize>,
}

/// Starts the submitters. Each ends when no job is left.
pub(super) fn start(
    doors: &Doors,
    load: Load,
    tally: &Arc<Tally>,
    room: &Arc<Semaphore>,
) -> JoinSet<anyhow::Result<()>> {
    let next = Arc::new(AtomicUsize::new(0));
    if let Pace::Window(jobs) = load.pace {
        room.add_permits(jobs);
    }
    let mut submitters = JoinSet::new();
    for (number, address) in (0..load.submitters).zip(doors.addresses.iter().cycle()) {
        let (address, token) = (address.clone(), doors.admin.clone());
        let submitter = Submitter {
            load,
            tally: Arc::clone(tally),
            room: Arc::clone(room),
            next: Arc::clone(&next),
        };
        submitters.spawn(async move {
            let (wire, connection) = Wire::connect(&address, &token).await?;
            tokio::select! {
                ended = submitter.submit_all(wire, number) => ended,
                ended = connection => ended.context("the connection of a submitter ended"),
            }
        });
    }
    submitters
}

impl Submitter {
    async fn submit_all(self, mut wire: Wire, number: usize) -> anyhow::Result<()> {
        let mut clock = match self.load.pace {
            Pace::Window(_) => None,
            Pace::Rate(rate) => {
                // Each submitter sends its share, out of step with the others.
                let every = Duration::from_secs_f64(self.load.submitters as f64 / rate);
                let offset = every.mul_f64(number as f64 / self.load.submitters as f64);
                let mut clock = tokio::time::interval_at(Instant::now() + offset, every);
                clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
                Some(clock)
            }
        };
        loop {
            // The moment when it is due: that a request before it was slow counts against the system.
            let due_at = match &mut clock {
                Some(clock) => clock.tick().await,
                None => {
                    let wanted = u32::try_from(self.load.batch).context("a batch")?;
                    self.room.acquire_many(wanted).await?.forget();
                    Instant::now()
                }
            };
            let first = self.next.fetch_add(self.load.batch, Ordering::Relaxed);
            if first >= self.load.jobs {
                // For the other submitters, which must see the end, too.
                self.room.add_permits(self.load.batch);
                return Ok(());
            }
            let last = (first + self.load.batch).min(self.load.jobs);
            self.tally.sent(first..last, due_at);
            submit(&mut wire, first..last).await?;
        }
    }
}

async fn submit(wire: &mut Wire, numbers: std::ops::Range<usize>) -> anyhow::Result<()> {
    let spec = |number| {
        RawValue::from_string(format!(
            r#"{{"name":"{}","command":["/bin/true"]}}"#,
            Tally::name(number)
        ))
    };
    let jobs = numbers.map(spec).collect::<Result<Vec<_>, _>>()?;
    let reply: BatchSubmitted = wire
        .post("/v1/jobs/batch", &BatchSubmit { jobs }, STALL_MAX)
        .await?;
    for item in reply.items {
        if let BatchItem::Refused(problem) = item {
            bail!("a job was refused: {problem}");
        }
    }
    Ok(())
}
