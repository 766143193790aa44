//! Random trees under random faults.
//!
//! When the faults cease, everything that should run runs, once, or all of it has ended with a reason. Proptest prints
//! the script that failed.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::{Just, any, prop, prop_oneof, proptest};
use proptest::sample::Index;
use proptest::strategy::Strategy as Generate;
use supervision::{ChildSpec, Exit, Restart, Strategy, Tree};

use crate::probe::{Child, Log, Msg, SECOND, children, tree};
use crate::seed;

#[derive(Clone, Debug)]
enum Fault {
    Fail(Index),
    Panic(Index),
    Leave(Index),
    Hang(Index),
    /// The next starts of this child fail.
    FailStarts(Index, u32),
    Wait(u64),
}

fn fault() -> impl Generate<Value = Fault> {
    let who = any::<Index>;
    prop_oneof![
        4 => who().prop_map(Fault::Fail),
        1 => who().prop_map(Fault::Panic),
        2 => who().prop_map(Fault::Leave),
        1 => who().prop_map(Fault::Hang),
        2 => (who(), 0u32..4).prop_map(|(who, n)| Fault::FailStarts(who, n)),
        6 => (0u64..6).prop_map(Fault::Wait),
    ]
}

fn strategy() -> impl Generate<Value = Strategy> {
    prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::OneForAll),
        Just(Strategy::RestForOne)
    ]
}

fn restart() -> impl Generate<Value = Restart> {
    prop_oneof![3 => Just(Restart::Permanent), 1 => Just(Restart::Transient), 1 => Just(Restart::Temporary)]
}

proptest! {
    #![proptest_config(seed::cases(300))]

    #[test]
    fn when_the_faults_cease_all_runs_or_all_has_ended(
        strategies in (strategy(), strategy()),
        restarts in prop::array::uniform5(restart()),
        faults in prop::collection::vec(fault(), 0..25),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(strategies, restarts, faults));
    }
}

/// Two workers, a supervisor with two more, and a last one.
async fn play((outer, inner): (Strategy, Strategy), restarts: [Restart; 5], faults: Vec<Fault>) {
    let log = Log::default();
    let workers = children(["a", "b", "c", "d", "e"], &log);
    let spec = |at: usize| workers[at].spec().restart(restarts[at]);
    let inner = ChildSpec::supervisor("inner", tree(inner, 2, []).child(spec(2)).child(spec(3)));
    let root = tree(outer, 3, [])
        .child(spec(0))
        .child(spec(1))
        .child(inner)
        .child(spec(4));
    let tree = Tree::start("root", root).await.unwrap();
    for fault in faults {
        inflict(fault, &workers).await;
    }
    // Whoever hangs is not dead, so nobody restarts it: let them all go, and wait longer than any window.
    workers.iter().for_each(|worker| worker.fail_starts(0));
    tokio::time::sleep(60 * SECOND).await;
    check(&tree, &workers, &restarts).await;
    assert!(tree.stop(600 * SECOND).await.is_empty());
    assert!(tree.directory().list().is_empty());
    assert_states_are_dropped(&log);
}

async fn inflict(fault: Fault, workers: &[Child; 5]) {
    let (who, msg) = match fault {
        Fault::Fail(who) => (who, Msg::Fail),
        Fault::Panic(who) => (who, Msg::Panic),
        Fault::Leave(who) => (who, Msg::Leave),
        Fault::Hang(who) => (who, Msg::Hang),
        Fault::FailStarts(who, n) => return workers[who.index(5)].fail_starts(n),
        Fault::Wait(seconds) => return tokio::time::sleep(Duration::from_secs(seconds)).await,
    };
    // A child that is down or hangs with a full mailbox cannot be hurt.
    workers[who.index(5)].handle.try_tell(msg).ok();
}

async fn check(tree: &Tree, workers: &[Child; 5], restarts: &[Restart; 5]) {
    let live = tree.directory().list();
    let paths: HashSet<_> = live.iter().map(|actor| actor.path.clone()).collect();
    assert_eq!(paths.len(), live.len(), "two lives at one place");
    if paths.is_empty() {
        assert!(matches!(tree.exited().await, Exit::GaveUp(_)));
        assert!(
            workers
                .iter()
                .all(|worker| worker.handle.try_tell(Msg::Fail).is_err())
        );
        return;
    }
    for (worker, restart) in workers.iter().zip(restarts) {
        let up = live
            .iter()
            .any(|actor| actor.path.as_str().ends_with(&format!("/{}", worker.id)));
        assert!(up || *restart != Restart::Permanent, "{} should be up", worker.id);
    }
}

/// Every life that began has ended: as many states were dropped as were made.
fn assert_states_are_dropped(log: &Log) {
    let log = log.take_all();
    let count = |sign| log.split(' ').filter(|entry| entry.starts_with(sign)).count();
    assert_eq!(count('+'), count('~'), "{log}");
}
