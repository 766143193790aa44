//! The agent's tree: what restarts what, and how often. Nothing else is decided here.
//!
//! Every child stands for itself (`one_for_one`): what actors share is in the run table, which none of them owns, so no
//! death of one concerns another. Slots come and go under `runs`; one whose actors fail too often is given up there and
//! staffed again by the marshal, so that a poisonous run cannot end the agent. The order is that of dependency; stopping
//! goes in reverse, the poller first.
//!
//! [`Running`] is a started tree together with the process around it.

mod running;

use std::sync::Arc;
use std::time::Duration;

use agent::{Station, execution, leftovers, lifeline, marshal, poller, reporter, session, shipper};
use supervision::{ChildSpec, Dynamic, DynamicSpec, Intensity, Restart, Strategy, TreeSpec};

pub use self::running::{
    END_MAX, HURRIED_END_MAX, LAST_WORDS, Running, StartError, TREE_STOP, start, start_in, start_with,
};

/// An actor of the agent fails for a bug; more than this many in so short a time will not go away by themselves.
const AGENT: Intensity = Intensity {
    max: 20,
    within: Duration::from_secs(10),
};
/// Slots are never restarted by their supervisor, so any number would do.
const RUNS: Intensity = Intensity {
    max: 1,
    within: Duration::from_secs(1),
};
/// What fails more often than this at one run is left to the marshal, which has more patience.
const SLOT: Intensity = Intensity {
    max: 3,
    within: Duration::from_secs(5),
};

/// The whole tree of one agent.
pub fn tree(station: &Arc<Station>) -> TreeSpec {
    let runs = Dynamic::new("runs");
    TreeSpec::new(Strategy::OneForOne, AGENT)
        .child(session::child_spec(station))
        .child(lifeline::child_spec(station))
        .child(leftovers::child_spec(station))
        .child(ChildSpec::dynamic("runs", slots(station, &runs)))
        .child(marshal::child_spec(station, &runs))
        .child(reporter::child_spec(station))
        .child(poller::child_spec(station))
}

/// One subtree for each slot that is in use.
fn slots(station: &Arc<Station>, runs: &Dynamic<usize>) -> DynamicSpec<usize> {
    let (started, drawn) = (Arc::clone(station), Arc::clone(station));
    DynamicSpec::new(runs, station.info.slots, RUNS, move |index| slot(&started, index))
        .drawn_as(move || slot(&drawn, 0))
}

/// The actors of one slot. Their runs outlive them.
fn slot(station: &Arc<Station>, index: usize) -> ChildSpec {
    let tree = TreeSpec::new(Strategy::OneForOne, SLOT)
        .child(execution::child_spec(station, index))
        .child(shipper::child_spec(station, index));
    ChildSpec::supervisor(format!("slot-{index}"), tree).restart(Restart::Temporary)
}
