//! What must be true of every line of every script, whatever the oracle says.
//!
//! Judged on the deeds alone: order, reach, who comes back, and when it is enough.

use std::time::Instant;

use super::model::Deed;
use super::script::Played;
use super::world::World;
use crate::Exit;
use crate::spec::{Intensity, Restart, Strategy};

/// Holds one line against all invariants. `sweeps` keeps the times of the restarts so far.
pub(super) fn judge(world: &World, played: &Played, sweeps: &mut Vec<Instant>) {
    let failed = played.failed.as_ref().map(|(key, exit)| (*key, exit));
    judge_order(failed, &played.deeds);
    judge_reach(world, failed, &played.deeds);
    judge_restarts(world, failed, &played.deeds);
    judge_intensity(world, played, sweeps);
}

fn touched(deed: &Deed) -> Vec<u64> {
    match deed {
        Deed::Started { key, .. } | Deed::NotStarted { key, .. } | Deed::TryAgain { key, .. } => vec![*key],
        Deed::Terminated(keys) => keys.clone(),
        Deed::Exited { .. } => vec![],
    }
}

fn is_start(deed: &Deed) -> bool {
    matches!(deed, Deed::Started { .. } | Deed::NotStarted { .. })
}

/// Starts go up, terminations go down, and within a sweep nothing starts before the last termination.
fn judge_order(failed: Option<(u64, &Exit)>, deeds: &[Deed]) {
    let keys = |wanted: fn(&Deed) -> bool| -> Vec<u64> {
        deeds
            .iter()
            .filter(|deed| wanted(deed))
            .flat_map(touched)
            .collect()
    };
    assert!(
        keys(is_start).is_sorted_by(|a, b| a < b),
        "starts out of order: {deeds:?}"
    );
    let ends = keys(|deed| matches!(deed, Deed::Terminated(_)));
    assert!(
        ends.is_sorted_by(|a, b| a > b),
        "terminations out of order: {deeds:?}"
    );
    if failed.is_some() {
        let first_start = deeds.iter().position(is_start).unwrap_or(deeds.len());
        assert!(
            deeds[first_start..]
                .iter()
                .all(|deed| !matches!(deed, Deed::Terminated(_))),
            "{deeds:?}"
        );
    }
}

/// A failure touches only those that the strategy names, unless the supervisor ends with it.
fn judge_reach(world: &World, failed: Option<(u64, &Exit)>, deeds: &[Deed]) {
    let Some((failed, _)) = failed.filter(|_| !world.over) else {
        return;
    };
    for key in deeds.iter().flat_map(touched) {
        match world.rules.strategy {
            Strategy::OneForOne => assert_eq!(key, failed),
            Strategy::RestForOne => assert!(key >= failed),
            Strategy::OneForAll => {}
        }
    }
}

/// A temporary child is started once; its own end starts a transient child only when it was abnormal.
fn judge_restarts(world: &World, failed: Option<(u64, &Exit)>, deeds: &[Deed]) {
    if let Some((failed, exit)) = failed {
        let started = deeds
            .iter()
            .any(|deed| is_start(deed) && touched(deed) == [failed]);
        match world.restarts[&failed] {
            Restart::Permanent => {}
            Restart::Transient => assert!(!started || exit.is_abnormal()),
            Restart::Temporary => assert!(!started),
        }
    }
}

/// As many restarts as allowed lie in any window; one more, and the supervisor gives up instead.
fn judge_intensity(world: &World, played: &Played, sweeps: &mut Vec<Instant>) {
    let Intensity { max, within } = world.rules.intensity;
    let gave_up = played.deeds.contains(&Deed::Exited { gave_up: true });
    if played.failed.is_some() && (gave_up || played.deeds.iter().any(is_start)) {
        sweeps.push(played.now);
    }
    let recent = sweeps.iter().filter(|at| played.now - **at <= within).count();
    assert_eq!(gave_up, recent > max as usize, "{recent} restarts, {max} allowed");
}
