//! What a fleet has done, and how long each job waited for its agent.
//!
//! A job carries its number in its name, so that the agent that gets it finds the moment of its submit without asking
//! anybody: both sides share this process and its clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use protocol::leases::Lease;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Stands in the names of jobs before their number.
const NAME: &str = "sim-";

/// Counts and times, written by all agents and submitters.
pub(crate) struct Tally {
    began_at: Instant,
    jobs: Vec<Times>,
    parked: AtomicUsize,
    finished: AtomicUsize,
    /// Requests that reported something.
    reports: AtomicUsize,
    /// Leases that were renewed.
    renewals: AtomicUsize,
    /// Jobs that somebody was given a second time.
    repeated: AtomicUsize,
    /// Submitted jobs that may be unfinished at the same time.
    room: Arc<Semaphore>,
}

/// Microseconds since the tally began; 0: not yet.
#[derive(Default)]
struct Times {
    sent: AtomicU64,
    claimed: AtomicU64,
}

/// A claim that is under way.
pub(super) struct Parked<'a>(&'a AtomicUsize);

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tally {
    /// For so many jobs, numbered from 0.
    pub(super) fn new(jobs: usize) -> Self {
        Self {
            // So that no moment of interest is 0.
            began_at: Instant::now() - Duration::from_secs(1),
            jobs: std::iter::repeat_with(Times::default).take(jobs).collect(),
            parked: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            reports: AtomicUsize::new(0),
            renewals: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
            room: Arc::new(Semaphore::new(0)),
        }
    }

    /// The name of the job with this number.
    pub(super) fn name(number: usize) -> String {
        format!("{NAME}{number}")
    }

    /// Begins to count anew, and returns the room for unfinished jobs, which is none yet.
    pub(super) fn begin(&self) -> &Arc<Semaphore> {
        for count in [&self.finished, &self.reports, &self.renewals, &self.repeated] {
            count.store(0, Ordering::Relaxed);
        }
        for times in &self.jobs {
            times.sent.store(0, Ordering::Relaxed);
            times.claimed.store(0, Ordering::Relaxed);
        }
        self.room.forget_permits(Semaphore::MAX_PERMITS);
        &self.room
    }

    pub(super) fn park(&self) -> Parked<'_> {
        self.parked.fetch_add(1, Ordering::Relaxed);
        Parked(&self.parked)
    }

    /// Notes that these jobs are submitted at `at`.
    pub(super) fn sent(&self, numbers: std::ops::Range<usize>, at: Instant) {
        for times in self.jobs.get(numbers).unwrap_or_default() {
            times.sent.store(self.micros(at), Ordering::Relaxed);
        }
    }

    /// Notes that an agent has these leases in its hands.
    pub(super) fn claimed(&self, leases: &[Lease], at: Instant) {
        for lease in leases {
            let name = lease.spec.name.as_deref().unwrap_or_default();
            let number = name.strip_prefix(NAME).and_then(|number| number.parse().ok());
            let times = number.and_then(|number: usize| self.jobs.get(number));
            let before = times.map_or(0, |times| times.claimed.swap(self.micros(at), Ordering::Relaxed));
            self.repeated
                .fetch_add(usize::from(before != 0), Ordering::Relaxed);
        }
    }

    /// Notes that one request has reported so many jobs.
    pub(super) fn done(&self, jobs: usize) {
        self.reports.fetch_add(1, Ordering::Relaxed);
        self.finished.fetch_add(jobs, Ordering::Relaxed);
        self.room.add_permits(jobs);
    }

    pub(super) fn renewed(&self, leases: usize) {
        self.renewals.fetch_add(leases, Ordering::Relaxed);
    }

    /// Agents that wait for work.
    pub(crate) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    pub(crate) fn finished(&self) -> usize {
        self.finished.load(Ordering::Relaxed)
    }

    pub(crate) fn renewals(&self) -> usize {
        self.renewals.load(Ordering::Relaxed)
    }

    pub(crate) fn repeated(&self) -> usize {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Jobs of one report, on average.
    pub(crate) fn group(&self) -> f64 {
        self.finished() as f64 / self.reports.load(Ordering::Relaxed).max(1) as f64
    }

    /// From the submit of each job, before it was sent, until its agent had read the lease, in milliseconds.
    pub(crate) fn waited_ms(&self) -> Vec<f64> {
        let of = |times: &Times| {
            let (sent, claimed) = (
                times.sent.load(Ordering::Relaxed),
                times.claimed.load(Ordering::Relaxed),
            );
            (sent > 0 && claimed > 0).then(|| claimed.saturating_sub(sent) as f64 / 1e3)
        };
        self.jobs.iter().filter_map(of).collect()
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.began_at).as_micros()).unwrap_or(u64::MAX)
    }
}
