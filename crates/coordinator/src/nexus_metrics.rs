//! What the nexus is like, for `/metrics`: read at each scrape from what `pulse` has published.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::watch;

use crate::signals::{Health, NexusState};

/// The metrics of the nexus.
#[derive(Debug)]
pub(crate) struct NexusMetrics(pub(crate) watch::Receiver<NexusState>);

impl Collector for NexusMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let nexus = self.0.borrow().clone();
        let mut gauge = |name: &str, help: &str, value: u64| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        let is_up = u64::from(nexus.health == Health::Up);
        gauge("nexus_up", "Whether the nexus answers and may be used", is_up)?;
        let is_refused = u64::from(matches!(nexus.health, Health::Refused(_)));
        gauge(
            "nexus_refused",
            "Whether the nexus answers but must not be used by this coordinator",
            is_refused,
        )?;
        let standing = nexus.standing.as_ref();
        let warnings = standing.map_or(0, |standing| standing.warnings.len());
        let help = "Settings of the nexus that weaken what people may expect";
        gauge("nexus_warnings", help, warnings as u64)?;
        if let Some(room) = standing.and_then(|standing| standing.room) {
            gauge("nexus_room_used_bytes", "How full the nexus is", room.used)?;
            let help = "Where the nexus takes no new work";
            gauge("nexus_room_growth_max_bytes", help, room.growth_max)?;
            gauge("nexus_room_max_bytes", "Where the nexus itself refuses", room.max)?;
        }
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)
        };
        let help = "Times that another process or replica of the nexus was found than before";
        counter("nexus_era_changes", help, nexus.era_changes)?;
        let short = standing.map_or(0, |standing| standing.short_replications);
        let help = "Commits that fewer replicas had than were asked for";
        counter("nexus_short_replications", help, short)
    }
}
