//! Real trees beside the oracle, step by step.
//!
//! A random tree is started twice, with real actors in paused time and as a tree of oracles (`sim`). Then the same things
//! happen to both, one at a time, and after each of them both must have done the same, in the same order for each
//! supervisor; answer the same to `which_children`, `count_children` and every request; and have the same lives at the
//! same places. The last step is the stop, which must take exactly as long. The invariants are numbered in
//! `src/policy/tests/invariants.rs`; the oracle obeys I1-I5, I7, I10 and I13, so the shell does.

mod chaos;
#[path = "../../src/policy/tests/model.rs"]
mod model;
mod plan;
mod play;
mod sim;

use std::collections::HashMap;

use proptest::prelude::{Just, any, prop, prop_oneof, proptest};
use proptest::sample::Index;
use proptest::strategy::Strategy as Generate;
use supervision::{AutoShutdown, Backoff, Exit, Intensity, Restart, StartError, Strategy, Tree};
use tokio::time::Instant;

use self::model::End;
use self::plan::{Body, Cast, NAMES, Plan, Team};
use self::play::Play;
use self::sim::{Node, Shared};
use crate::seed;

#[derive(Clone, Debug)]
enum Line {
    Worker(Index, How),
    KillSupervisor(Index),
    /// The next starts of a worker fail.
    FailStarts(Index, u32),
    Wait(u64),
    Start(Index, Plan),
    /// The child of a supervisor by index, or one that is not there.
    Terminate(Index, Index),
    Restart(Index, Index),
    Delete(Index, Index),
}

#[derive(Clone, Copy, Debug)]
enum How {
    Fail,
    Panic,
    Leave,
    Kill,
}

fn line() -> impl Generate<Value = Line> {
    let how =
        prop_oneof![4 => Just(How::Fail), 1 => Just(How::Panic), 3 => Just(How::Leave), 2 => Just(How::Kill)];
    let who = any::<Index>;
    prop_oneof![
        9 => (who(), how).prop_map(|(who, how)| Line::Worker(who, how)),
        1 => who().prop_map(Line::KillSupervisor),
        3 => (who(), 1u32..4).prop_map(|(who, n)| Line::FailStarts(who, n)),
        3 => (1u64..5).prop_map(Line::Wait),
        3 => (who(), plan::worker()).prop_map(|(who, plan)| Line::Start(who, plan)),
        2 => (who(), who()).prop_map(|(at, who)| Line::Terminate(at, who)),
        2 => (who(), who()).prop_map(|(at, who)| Line::Restart(at, who)),
        1 => (who(), who()).prop_map(|(at, who)| Line::Delete(at, who)),
    ]
}

proptest! {
    #![proptest_config(seed::cases(500))]

    #[test]
    fn a_real_tree_does_what_otp_does(
        team in plan::team(3),
        slow in any::<bool>(),
        lines in prop::collection::vec(line(), 0..25),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(team, slow, lines));
    }
}

async fn play(mut team: Team, slow: bool, lines: Vec<Line>) {
    let mut names = NAMES.into_iter();
    team.settle(slow, &mut names);
    let mut cast = Cast::default();
    let spec = cast.tree_spec(&team);
    let stage = Shared::default();
    let mut sim = Node::new("root".to_owned(), &team, &stage);
    let mut lines = lines.into_iter().peekable();
    while let Some(Line::FailStarts(who, n)) = lines.next_if(|line| matches!(line, Line::FailStarts(..))) {
        fail_starts(&cast, &stage, who, n);
    }
    sim.init();
    let began = Instant::now();
    let tree = match Tree::start("root", spec).await {
        Ok(tree) => tree,
        Err(StartError::Failed { .. }) => return assert_eq!(sim.model.end, Some(End::FailedInit)),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(sim.model.end, None);
    let mut parents = HashMap::new();
    gather_parents("root", &team, &mut parents);
    let mut play = Play {
        tree,
        cast,
        sim,
        stage,
        began,
        slow,
        parents,
        refs: HashMap::new(),
        names,
    };
    for line in lines {
        play.line(line).await;
        play.settle().await;
        if play.stage.borrow().ambiguous {
            return;
        }
        play.compare().await;
        if play.sim.model.end.is_some() {
            break;
        }
    }
    play.end().await;
}

fn fail_starts(cast: &Cast, stage: &Shared, who: Index, n: u32) {
    let mut ids: Vec<_> = cast.workers.keys().copied().collect();
    ids.sort_unstable();
    if let Some(id) = pick(&ids, who) {
        cast.fail_starts(id, n);
        stage.borrow_mut().failing.insert(id, n);
    }
}

fn gather_parents(path: &str, team: &Team, parents: &mut HashMap<&'static str, String>) {
    for child in &team.children {
        parents.insert(child.id, path.to_owned());
        if let Body::Supervisor(team) = &child.body {
            gather_parents(&format!("{path}/{}", child.id), team, parents);
        }
    }
}

fn pick<T: Clone>(from: &[T], who: Index) -> Option<T> {
    (!from.is_empty()).then(|| from[who.index(from.len())].clone())
}
