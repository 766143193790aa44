//! Counters for `/metrics`, in OpenMetrics. No job ids and no free text in labels.

use mesh::Link;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::mesh_metrics::MeshMetrics;
use crate::nexus_metrics::NexusMetrics;
use crate::signals::NexusState;
use crate::trees::Trees;

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
    claims_parked: Gauge,
    requests_parked: Gauge,
    jobs_quarantined: Gauge,
}

/// A request that is parked until this is dropped.
pub(crate) struct Parked(Gauge);

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// The trees, what is known of the nexus, and the mesh are read at every scrape.
    pub(crate) fn new(trees: &Trees, nexus: watch::Receiver<NexusState>, link: Option<&Link>) -> Self {
        let mut registry = Registry::with_prefix("hiveforge");
        registry.register_collector(Box::new(trees.clone()));
        registry.register_collector(Box::new(NexusMetrics(nexus)));
        if let Some(link) = link {
            registry.register_collector(Box::new(MeshMetrics(link.clone())));
        }
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
        let claims_parked = Gauge::default();
        let help = "Claims that wait for a job";
        registry.register("claims_parked", help, claims_parked.clone());
        let requests_parked = Gauge::default();
        let help = "Other requests that wait for a change";
        registry.register("requests_parked", help, requests_parked.clone());
        let jobs_quarantined = Gauge::default();
        let help = "Jobs that are put aside because their records cannot be read";
        registry.register("jobs_quarantined", help, jobs_quarantined.clone());
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
            claims_parked,
            requests_parked,
            jobs_quarantined,
        }
    }

    /// Notes how many claims wait for a job.
    pub(crate) fn claims_parked(&self, n: usize) {
        self.claims_parked.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// Notes how many jobs are put aside because they cannot be read.
    pub(crate) fn quarantined(&self, n: u64) {
        self.jobs_quarantined.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// Notes that a request other than a claim waits for a change.
    pub(crate) fn park(&self) -> Parked {
        self.requests_parked.inc();
        Parked(self.requests_parked.clone())
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
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}
