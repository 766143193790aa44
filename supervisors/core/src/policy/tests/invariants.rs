//! What must be true of every line of every script, whatever the oracle says.
//!
//! The invariants of supervision have numbers here, in the shell's tests and in the failures:
//!
//! * I1: children start in start order, at the start and in every sweep.
//! * I2: they are terminated in reverse, and nothing of a sweep starts before its last termination.
//! * I3: `one_for_one` touches no sibling, `rest_for_one` none before the child.
//! * I4: a temporary child is started once, a transient one comes back by itself only after an abnormal exit.
//! * I5: any window holds at most as many restarts as are allowed; one more is not done, and everything ends.
//! * I6: a child has at most one life at a time, and incarnations rise.
//! * I7: what is said of an earlier life, or asked for by nobody, changes nothing.
//! * I8: nobody outlives the supervisor.
//! * I9: a termination takes no longer than the specs allow (the shell's tests: here is no time).
//! * I10: only significant children that end by themselves, and for good, end their supervisor.
//! * I11: `which_children` and `count_children` say what the oracle says.
//! * I12: no sequence of events is too much.
//! * I13: when failures cease, every permanent child is up, unless somebody asked for its end.
//! * I14: a spec that makes no sense is refused (the shell's tests).

use std::collections::BTreeSet;
use std::time::Duration;

use super::model::Pid;
use super::script::{Cause, Line, Played};
use super::world::{Deed, World};
use super::{AutoShutdown, Intensity, Restart, Strategy};

/// What is remembered from line to line.
#[derive(Default)]
pub(super) struct Judge {
    /// When restarts were decided.
    restarts: Vec<Duration>,
    /// The ids of children that are down by request.
    parked: BTreeSet<String>,
}

impl Judge {
    /// Holds one line against all invariants.
    pub(super) fn judge(&mut self, world: &World, played: &Played) {
        judge_order(played);
        judge_reach(world, played);
        judge_restarts(world, played);
        judge_auto_shutdown(world, played);
        if played.cause == Cause::Nothing {
            assert_eq!(played.deeds, [], "I7");
        }
        self.judge_intensity(world, played);
        for deed in &played.deeds {
            if let Deed::Started { key, .. } = deed {
                self.parked.remove(&*world.specs[key].id);
            }
        }
    }

    /// Remembers who is to stay down. As in OTP, whoever calls off a restart that takes siblings along leaves them
    /// down, too.
    pub(super) fn before(&mut self, world: &World, line: &Line) {
        let Line::TerminateChild(id) = line else { return };
        let children = world.which_children();
        let called_off =
            |(other, pid): &(String, Pid)| other == id && matches!(pid, Pid::Restarting | Pid::Delayed);
        if children.iter().any(called_off) {
            let down = children.into_iter().filter(|(_, pid)| *pid == Pid::Undefined);
            self.parked.extend(down.map(|(id, _)| id));
        }
        self.parked.insert(id.clone());
    }

    /// I13, when nothing waits any more.
    pub(super) fn judge_liveness(&self, world: &World) {
        if world.over {
            return;
        }
        let permanent = |id: &str| {
            let mut specs = world.specs.values().rev();
            specs.find(|spec| &*spec.id == id).map(|spec| spec.restart) == Some(Restart::Permanent)
        };
        for (id, pid) in world.which_children() {
            let should_be_up = permanent(&id) && !self.parked.contains(&id);
            assert!(!should_be_up || pid == Pid::Alive, "I13: {id} is {pid:?}");
        }
    }

    /// I5. A restart that was put off counts when it was decided.
    fn judge_intensity(&mut self, world: &World, played: &Played) {
        let Intensity { max, within } = world.rules.intensity;
        let decided = match &played.cause {
            Cause::FailedRestart { .. } => true,
            Cause::Failure { key, exit } => match world.specs[key].restart {
                Restart::Permanent => true,
                Restart::Transient => exit.is_abnormal(),
                Restart::Temporary => false,
            },
            Cause::Init | Cause::Resumed { .. } | Cause::Request | Cause::Nothing => false,
        };
        if decided {
            self.restarts.push(played.now);
        }
        let recent = self.restarts.iter().filter(|at| played.now - **at <= within);
        let recent = recent.count();
        if decided {
            assert_eq!(world.policy.restarts().count(), recent, "I5: {played:?}");
        }
        let too_many = decided && recent > max as usize;
        let gave_up = played.deeds.contains(&Deed::Exited { gave_up: true });
        assert_eq!(gave_up, too_many, "I5: {recent} restarts, {max} allowed");
        assert!(
            !gave_up || played.deeds.iter().all(|deed| started(deed).is_none()),
            "I5"
        );
    }
}

fn touched(deed: &Deed) -> Vec<u64> {
    match deed {
        Deed::Started { key, .. } | Deed::NotStarted { key, .. } | Deed::TryAgain { key, .. } => vec![*key],
        Deed::Terminated(keys) => keys.clone(),
        Deed::Exited { .. } => vec![],
    }
}

fn started(deed: &Deed) -> Option<u64> {
    match deed {
        Deed::Started { key, .. } | Deed::NotStarted { key, .. } => Some(*key),
        Deed::Terminated(_) | Deed::TryAgain { .. } | Deed::Exited { .. } => None,
    }
}

/// I1 and I2.
fn judge_order(played: &Played) {
    let deeds = &played.deeds;
    let starts: Vec<u64> = deeds.iter().filter_map(started).collect();
    assert!(starts.is_sorted_by(|a, b| a < b), "I1: {deeds:?}");
    let ends = deeds.iter().filter(|deed| matches!(deed, Deed::Terminated(_)));
    let ends: Vec<u64> = ends.flat_map(touched).collect();
    assert!(ends.is_sorted_by(|a, b| a > b), "I2: {deeds:?}");
    if played.cause != Cause::Init {
        let mut after = deeds.iter().skip_while(|deed| started(deed).is_none());
        assert!(
            after.all(|deed| !matches!(deed, Deed::Terminated(_))),
            "I2: {deeds:?}"
        );
    }
}

/// I3. A supervisor that ends takes everybody along.
fn judge_reach(world: &World, played: &Played) {
    let (Cause::Failure { key: failed, .. }
    | Cause::FailedRestart { key: failed }
    | Cause::Resumed { key: failed }) = played.cause
    else {
        return;
    };
    for key in played.deeds.iter().flat_map(touched).filter(|_| !world.over) {
        match world.rules.strategy {
            Strategy::OneForOne => assert_eq!(key, failed, "I3"),
            Strategy::RestForOne => assert!(key >= failed, "I3"),
            Strategy::OneForAll => {}
        }
    }
}

/// I4, but for what the world sees itself.
fn judge_restarts(world: &World, played: &Played) {
    if let Cause::Failure { key, exit } = &played.cause {
        let comes_back = played.deeds.iter().any(|deed| touched(deed) == [*key]);
        match world.specs[key].restart {
            Restart::Permanent => {}
            Restart::Transient => assert!(!comes_back || exit.is_abnormal(), "I4"),
            Restart::Temporary => assert!(!comes_back, "I4"),
        }
    }
}

/// I10.
fn judge_auto_shutdown(world: &World, played: &Played) {
    let ended_itself = played.deeds.contains(&Deed::Exited { gave_up: false });
    let due = match &played.cause {
        Cause::Failure { key, exit } => {
            let spec = &world.specs[key];
            let for_good = spec.restart == Restart::Temporary
                || spec.restart == Restart::Transient && !exit.is_abnormal();
            spec.significant && for_good && world.rules.auto_shutdown != AutoShutdown::Never
        }
        // A failed start ends an init, and a request may ask for the end.
        Cause::Init | Cause::Request => return,
        Cause::FailedRestart { .. } | Cause::Resumed { .. } | Cause::Nothing => false,
    };
    match world.rules.auto_shutdown {
        AutoShutdown::Never | AutoShutdown::AnySignificant => assert_eq!(ended_itself, due, "I10"),
        AutoShutdown::AllSignificant => {
            let significant = |key: &&u64| world.specs[*key].significant;
            let left = world.alive.keys().filter(significant).count();
            assert!(!ended_itself || due, "I10");
            assert!(
                !due || ended_itself || left > 0 || !world.retries.is_empty(),
                "I10"
            );
        }
    }
}
