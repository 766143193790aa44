//! Counters for `/metrics`, in OpenMetrics. No job ids and no free text in labels.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::signals::Health;

/// The counters of one coordinator process.
pub(crate) struct Metrics {
    registry: Registry,
    jobs_submitted: Counter,
    submits_replayed: Counter,
    leases_granted: Counter,
    finishes: Counter,
    finish_requests: Counter,
    stale_refused: Counter,
    leases_taken: Counter,
    holds_returned: Counter,
    nexus_up: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("hiveforge");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let jobs_submitted = counter("jobs_submitted", "Jobs accepted");
        let submits_replayed = counter("submits_replayed", "Submits that repeated an earlier one");
        let leases_granted = counter("leases_granted", "Leases given to agents");
        let finishes = counter("finishes", "Ended runs recorded");
        let finish_requests = counter("finish_requests", "Requests that reported ended runs");
        let stale_refused = counter("stale_refused", "Writes refused because the lease was lost");
        let leases_taken = counter("leases_taken", "Leases taken from silent agents");
        let holds_returned = counter("holds_returned", "Taken jobs returned to their lanes unclaimed");
        let nexus_up = Gauge::default();
        registry.register("nexus_up", "Whether the nexus answers", nexus_up.clone());
        Self {
            registry,
            jobs_submitted,
            submits_replayed,
            leases_granted,
            finishes,
            finish_requests,
            stale_refused,
            leases_taken,
            holds_returned,
            nexus_up,
        }
    }

    pub(crate) fn submitted(&self, jobs: usize, replayed: bool) {
        if replayed {
            self.submits_replayed.inc();
        } else {
            self.jobs_submitted.inc_by(jobs as u64);
        }
    }

    pub(crate) fn granted(&self, leases: usize) {
        self.leases_granted.inc_by(leases as u64);
    }

    /// Notes one request and the ended runs in it that were recorded.
    pub(crate) fn finished(&self, runs: usize) {
        self.finish_requests.inc();
        self.finishes.inc_by(runs as u64);
    }

    pub(crate) fn refused(&self) {
        self.stale_refused.inc();
    }

    pub(crate) fn reaped(&self, taken: usize, returned: usize) {
        self.leases_taken.inc_by(taken as u64);
        self.holds_returned.inc_by(returned as u64);
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self, health: &Health) -> String {
        self.nexus_up.set(i64::from(*health == Health::Up));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}
