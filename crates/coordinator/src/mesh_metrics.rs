//! Who can be reached over the mesh, for `/metrics`: read at each scrape.

use std::fmt;

use mesh::{Link, Reach};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// The metrics of a mesh.
pub(crate) struct MeshMetrics(pub(crate) Link);

impl fmt::Debug for MeshMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MeshMetrics").field(&self.0.name()).finish()
    }
}

impl Collector for MeshMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let peers = self.0.peers();
        let up = peers.iter().filter(|peer| matches!(peer.reach, Reach::Up { .. }));
        let up = up.count();
        let mut gauge = |name: &str, help: &str, value: usize| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value as u64).encode(metric)
        };
        gauge(
            "mesh_peers_up",
            "Other coordinators that answer over the mesh",
            up,
        )?;
        let help = "Other coordinators that should be in the mesh and cannot be reached";
        gauge("mesh_peers_unreachable", help, peers.len() - up)
    }
}
