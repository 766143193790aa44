//! Random trees in which everything happens at once.
//!
//! Nobody waits for anybody here, so no oracle can tell the order; what must be true all the same is judged when it is
//! over: I6, I8, I9, I11 and I13 of `src/policy/tests/invariants.rs`. And trees with one thing wrong: I14.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::{Just, any, prop, prop_oneof, proptest};
use proptest::sample::Index;
use proptest::strategy::Strategy as Generate;
use supervision::{ChildSpec, ChildStatus, Directory, KILL_GRACE, StartError, Tree};
use tokio::time::{Instant, sleep, timeout};

use super::plan::{self, Body, Cast, NAMES, Plan, Team};
use super::{Exit, Restart, pick};
use crate::probe::{Msg, SECOND};
use crate::seed;

#[derive(Clone, Debug)]
enum Fault {
    Fail(Index),
    Panic(Index),
    Leave(Index),
    Hang(Index),
    /// An actor of any kind.
    Kill(Index),
    FailStarts(Index, u32),
    Wait(u64),
    /// A child on demand, if there is a dynamic supervisor; who asks does not wait for long.
    Start(Index, Plan),
    Ask(Index),
}

fn fault() -> impl Generate<Value = Fault> {
    let who = any::<Index>;
    prop_oneof![
        5 => who().prop_map(Fault::Fail),
        1 => who().prop_map(Fault::Panic),
        2 => who().prop_map(Fault::Leave),
        1 => who().prop_map(Fault::Hang),
        3 => who().prop_map(Fault::Kill),
        2 => (who(), 0u32..4).prop_map(|(who, n)| Fault::FailStarts(who, n)),
        4 => (1u64..4000).prop_map(Fault::Wait),
        2 => (who(), plan::worker()).prop_map(|(who, plan)| Fault::Start(who, plan)),
        1 => who().prop_map(Fault::Ask),
    ]
}

proptest! {
    #![proptest_config(seed::cases(200))]

    #[test]
    fn when_the_faults_cease_all_that_should_run_runs(
        team in plan::team(3),
        slow in any::<bool>(),
        faults in prop::collection::vec(fault(), 0..40),
    ) {
        block_on(play(team, slow, faults));
    }

    #[test]
    fn a_tree_with_one_thing_wrong_is_refused_before_anything_starts(
        team in plan::team(3),
        at in any::<Index>(),
        wrong in prop_oneof![Just(Wrong::Twin), Just(Wrong::Significant), Just(Wrong::Window), Just(Wrong::Backoff)],
    ) {
        block_on(refuse(team, at, wrong));
    }
}

fn block_on(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work);
}

async fn play(mut team: Team, slow: bool, faults: Vec<Fault>) {
    let mut names = NAMES.into_iter();
    team.settle(slow, &mut names);
    let mut cast = Cast::default();
    let spec = cast.tree_spec(&team);
    let tree = Tree::start("root", spec).await.unwrap();
    for fault in faults {
        inflict(&tree, &mut cast, fault, &mut names).await;
    }
    cast.workers.keys().for_each(|id| cast.fail_starts(id, 0));
    // Whoever hangs ends at its deadline; backoffs and windows are shorter.
    sleep(600 * SECOND).await;
    let directory = tree.directory();
    judge_lives(&directory);
    if directory.find("root").is_some() {
        judge_team(&tree, "root", &team).await;
        let (before, n_actors) = (Instant::now(), directory.list().len());
        assert_eq!(tree.stop(3600 * SECOND).await, []);
        let patience = 3 * SECOND + KILL_GRACE;
        assert!(
            before.elapsed() <= patience * u32::try_from(n_actors).unwrap(),
            "I9"
        );
    } else {
        assert!(matches!(tree.exited().await, Exit::GaveUp(_) | Exit::Shutdown));
    }
    assert!(directory.list().is_empty(), "I8");
    assert!(
        cast.workers
            .values()
            .all(|worker| worker.handle.try_tell(Msg::Fail).is_err()),
        "I8"
    );
    assert!(cast.dynamics.values().all(|dynamic| dynamic.count() == 0), "I8");
}

async fn inflict(tree: &Tree, cast: &mut Cast, fault: Fault, names: &mut impl Iterator<Item = &'static str>) {
    let mut ids: Vec<_> = cast.workers.keys().copied().collect();
    ids.sort_unstable();
    let tell = |who, msg| {
        if let Some(id) = pick(&ids, who) {
            // A child that is down or has a full mailbox cannot be hurt.
            cast.workers[id].handle.try_tell(msg).ok();
        }
    };
    match fault {
        Fault::Fail(who) => tell(who, Msg::Fail),
        Fault::Panic(who) => tell(who, Msg::Panic),
        Fault::Leave(who) => tell(who, Msg::Leave),
        Fault::Hang(who) => tell(who, Msg::Hang),
        Fault::Kill(who) => {
            let all = tree.directory().list();
            // The root is not killed: who watches it is another test's business.
            if let Some(actor) = all.get(1..).and_then(|all| pick(all, who)) {
                tree.directory().kill(actor.path.as_str());
            }
        }
        Fault::FailStarts(who, n) => {
            if let Some(id) = pick(&ids, who) {
                cast.fail_starts(id, n);
            }
        }
        Fault::Wait(millis) => sleep(Duration::from_millis(millis)).await,
        Fault::Start(who, mut plan) => {
            let mut dynamics: Vec<_> = cast.dynamics.keys().copied().collect();
            dynamics.sort_unstable();
            let Some(dynamic) = pick(&dynamics, who) else {
                return;
            };
            plan.settle(super::AutoShutdown::Never, false, names);
            let spec: ChildSpec = cast.child_spec(&plan);
            timeout(SECOND / 1000, cast.dynamics[dynamic].start_child(spec))
                .await
                .ok();
        }
        Fault::Ask(who) => {
            let all = tree.directory().list();
            if let Some(actor) = pick(&all, who) {
                timeout(SECOND / 1000, tree.which_children(actor.path.as_str()))
                    .await
                    .ok();
            }
        }
    }
}

/// I6.
fn judge_lives(directory: &Directory) {
    let live = directory.list();
    let places: HashSet<_> = live.iter().map(|actor| &actor.path).collect();
    assert_eq!(places.len(), live.len(), "I6: two lives at one place");
}

/// I11 and I13, for a supervisor that is up and all below it.
async fn judge_team(tree: &Tree, path: &str, team: &Team) {
    let children = tree.which_children(path).await.unwrap();
    let counts = tree.count_children(path).await.unwrap();
    assert_eq!(counts.workers + counts.supervisors, children.len(), "I11");
    for child in &children {
        let up = child.status == ChildStatus::Running;
        let found = tree.directory().find(&format!("{path}/{}", child.id));
        assert_eq!(found.is_some(), up, "I11: {path}/{}", child.id);
    }
    for plan in &team.children {
        let child = children.iter().find(|child| child.id == plan.id);
        let up = child.is_some_and(|child| child.status == ChildStatus::Running);
        assert!(
            up || plan.restart != Restart::Permanent,
            "I13: {path}/{}",
            plan.id
        );
        if let (true, Body::Supervisor(team)) = (up, &plan.body) {
            Box::pin(judge_team(tree, &format!("{path}/{}", plan.id), team)).await;
        }
    }
}

/// What can be wrong with a spec.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Twin,
    Significant,
    Window,
    Backoff,
}

async fn refuse(mut team: Team, at: Index, wrong: Wrong) {
    team.settle(true, &mut NAMES.into_iter());
    let team_of_choice = descend(&mut team, at);
    let Some(child) = team_of_choice.children.last_mut() else {
        return;
    };
    match wrong {
        Wrong::Twin => {
            let twin = child.clone();
            team_of_choice.children.push(twin);
        }
        Wrong::Significant => (child.significant, child.restart) = (true, Restart::Permanent),
        Wrong::Window => team_of_choice.intensity.within = Duration::ZERO,
        Wrong::Backoff => {
            let (base, max, reset_after) = (SECOND, SECOND / 2, SECOND);
            child.backoff = Some(super::Backoff {
                base,
                max,
                reset_after,
            });
        }
    }
    let mut cast = Cast::default();
    let spec = cast.tree_spec(&team);
    // The root's own window is given with its spec, too.
    let started = Tree::start("root", spec).await;
    assert!(matches!(started.err(), Some(StartError::InvalidSpec(_))), "I14");
    assert_eq!(cast.log.take_all(), "", "I14");
}

/// The tree itself, or one of the teams in it.
fn descend(team: &mut Team, at: Index) -> &mut Team {
    let inner = |child: &Plan| matches!(&child.body, Body::Supervisor(inner) if !inner.children.is_empty());
    let ways: Vec<_> = (0..team.children.len())
        .filter(|at| inner(&team.children[*at]))
        .collect();
    match ways.get(at.index(ways.len() + 1)) {
        None => team,
        Some(way) => match &mut team.children[*way].body {
            Body::Supervisor(inner) => descend(inner, at),
            Body::Worker => unreachable!("only teams were looked at"),
        },
    }
}
