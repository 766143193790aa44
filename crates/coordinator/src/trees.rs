//! The trees of this process, for whoever looks at them: the observer, `/metrics` and `/livez`.
//!
//! The one idea: a directory is read without asking any actor, so everything here answers while actors hang. The
//! composition root says which trees there are; a coordinator does not know what else runs beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use supervision::{ActorInfo, ActorState, Directory, Totals, TreePath};

/// How long an actor may be stuck before `/livez` says that the process is beyond help: it will not heal by itself,
/// and a new process finds everything in the nexus and on the disk.
pub(crate) const STUCK_MAX: Duration = Duration::from_secs(60);

/// One tree that is observed.
#[derive(Clone)]
pub struct ObservedTree {
    /// Its name, with which the paths of its actors begin.
    pub name: &'static str,
    /// Its actors.
    pub directory: Directory,
}

/// All of them.
#[derive(Clone)]
pub(crate) struct Trees(Vec<ObservedTree>);

impl Trees {
    pub(crate) const fn new(trees: Vec<ObservedTree>) -> Self {
        Self(trees)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ObservedTree> {
        self.0.iter()
    }

    /// The tree that a path leads into.
    #[cfg(feature = "faults")]
    pub(crate) fn of(&self, path: &str) -> Option<&ObservedTree> {
        let root = path.split('/').next()?;
        self.iter().find(|tree| tree.name == root)
    }

    /// The actor that has been stuck for the longest time, if that is longer than `limit`.
    pub(crate) fn stuck_beyond(&self, limit: Duration) -> Option<(TreePath, Duration)> {
        let longest = self
            .iter()
            .filter_map(|tree| tree.directory.longest_stuck())
            .max_by_key(|(_, stuck_for)| *stuck_for);
        longest.filter(|(_, stuck_for)| *stuck_for > limit)
    }
}

impl fmt::Debug for Trees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|tree| tree.name)).finish()
    }
}

/// What one tree is like at the moment of a scrape.
struct Scrape {
    name: &'static str,
    actors: usize,
    stuck: usize,
    totals: Totals,
    /// Waiting messages by child of the root, with all that is under it: there are as many series as the tree has
    /// places, however many actors come and go under a dynamic supervisor.
    depths: BTreeMap<String, usize>,
}

impl Scrape {
    fn of(tree: &ObservedTree) -> Self {
        let actors = tree.directory.list();
        let mut depths = BTreeMap::new();
        for actor in &actors {
            *depths.entry(place(actor)).or_default() += actor.mailbox.depth;
        }
        Self {
            name: tree.name,
            actors: actors.len(),
            stuck: actors
                .iter()
                .filter(|actor| actor.state == ActorState::Stuck)
                .count(),
            totals: tree.directory.totals(),
            depths,
        }
    }
}

/// The child of the root that an actor is, or is under.
fn place(actor: &ActorInfo) -> String {
    let path = actor.path.as_str();
    let end = path.match_indices('/').nth(1).map_or(path.len(), |(at, _)| at);
    path.get(..end).unwrap_or(path).to_owned()
}

impl Collector for Trees {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let trees: Vec<Scrape> = self.iter().map(Scrape::of).collect();
        let mut family = |name: &str, help: &str, kind: MetricType, value: &dyn Fn(&Scrape) -> u64| {
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for tree in &trees {
                let labels = [("tree", tree.name)];
                let series = metric.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(value(tree)).encode(series)?,
                    _ => ConstGauge::new(value(tree)).encode(series)?,
                }
            }
            Ok(())
        };
        let (gauge, counter) = (MetricType::Gauge, MetricType::Counter);
        family("actors", "Live actors", gauge, &|tree| tree.actors as u64)?;
        family("actors_stuck", "Actors that block their thread", gauge, &|tree| {
            tree.stuck as u64
        })?;
        family("actor_restarts", "Actors started again", counter, &|tree| {
            tree.totals.restarts
        })?;
        family(
            "actor_crashes",
            "Ends of actors by panic or error",
            counter,
            &|tree| tree.totals.crashes,
        )?;
        let help = "Messages that wait, by child of the root with all under it";
        let mut metric = encoder.encode_descriptor("mailbox_depth", help, None, gauge)?;
        for (path, depth) in trees.iter().flat_map(|tree| &tree.depths) {
            let labels = [("actor", path.as_str())];
            ConstGauge::new(*depth as u64).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
