//! What it costs to start and end a small subtree: one supervisor, two workers, each asked one question.
//!
//! Agents do this once per job. Prints wall time and CPU time per subtree, one after the other and many at once, on
//! two threads, where most of the time goes into waking the other thread, and on one.
//! Run with `cargo run --release -p hiveforge-supervisors-core --example subtree_cost`.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use supervision::{
    Actor, AutoShutdown, ChildSpec, Ctx, Dynamic, DynamicSpec, Failure, Handle, Intensity, Reply, Restart,
    Strategy, Tree, TreeSpec,
};

const SUBTREES: usize = 20_000;
const AT_ONCE: usize = 50;
const LIMIT: Duration = Duration::from_secs(5);

struct Worker;

enum Msg {
    Ping(Reply<u64>),
    Leave,
}

impl Actor for Worker {
    type Msg = Msg;
    type State = ();

    async fn start(&self, _: &Ctx<Msg>) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, (): &mut ()) -> Result<(), Failure> {
        match msg {
            Msg::Ping(reply) => drop(reply.send(ctx.incarnation())),
            Msg::Leave => ctx.stop_self(),
        }
        Ok(())
    }
}

struct Run {
    number: usize,
    execution: Handle<Msg>,
    shipper: Handle<Msg>,
}

fn run_spec(run: Run) -> ChildSpec {
    let execution = ChildSpec::worker("execution", &run.execution, || Worker);
    let tree = TreeSpec::new(
        Strategy::OneForOne,
        Intensity {
            max: 3,
            within: LIMIT,
        },
    )
    .child(ChildSpec::worker("shipper", &run.shipper, || Worker))
    .child(execution.restart(Restart::Transient).significant())
    .auto_shutdown(AutoShutdown::AnySignificant);
    ChildSpec::supervisor(format!("run-{}", run.number), tree).restart(Restart::Temporary)
}

async fn one_run(runs: &Dynamic<Run>, number: usize) {
    let (execution, shipper) = (Handle::new("execution", 8), Handle::new("shipper", 8));
    let run = Run {
        number,
        execution: execution.clone(),
        shipper: shipper.clone(),
    };
    runs.start_child(run).await.expect("there is room");
    shipper.ask(Msg::Ping, LIMIT).await.expect("the shipper is up");
    execution
        .ask(Msg::Ping, LIMIT)
        .await
        .expect("the execution is up");
    execution.try_tell(Msg::Leave).expect("the execution is up");
}

async fn settled(runs: &Dynamic<Run>) {
    while runs.count() > 0 {
        tokio::task::yield_now().await;
    }
}

fn main() {
    println!("two threads");
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads can be had")
        .block_on(measure());
    println!("one thread");
    let mut thread = tokio::runtime::Builder::new_current_thread();
    thread
        .enable_time()
        .build()
        .expect("a thread is here")
        .block_on(measure());
}

async fn measure() {
    let runs = Dynamic::new("runs");
    let intensity = Intensity {
        max: 3,
        within: LIMIT,
    };
    let spec = DynamicSpec::new(&runs, 4096, intensity, run_spec);
    let tree = TreeSpec::new(Strategy::OneForOne, intensity).child(ChildSpec::dynamic("runs", spec));
    let tree = Tree::start("agent", tree).await.expect("the tree starts");
    for round in ["one by one, cold", "one by one"] {
        let (wall, cpu) = (Instant::now(), cpu_time());
        for number in 0..SUBTREES {
            one_run(&runs, number).await;
        }
        settled(&runs).await;
        report(round, wall.elapsed(), cpu_time() - cpu);
    }
    let (wall, cpu) = (Instant::now(), cpu_time());
    for batch in 0..SUBTREES / AT_ONCE {
        join_all((0..AT_ONCE).map(|at| one_run(&runs, batch * AT_ONCE + at))).await;
    }
    settled(&runs).await;
    report("fifty at a time", wall.elapsed(), cpu_time() - cpu);
    assert!(tree.stop(LIMIT).await.is_empty());
}

fn report(round: &str, wall: Duration, cpu: Duration) {
    let per_subtree = |total: Duration| total.as_secs_f64() * 1e6 / SUBTREES as f64;
    println!(
        "{round:20} {:6.1} us wall {:6.1} us cpu per subtree",
        per_subtree(wall),
        per_subtree(cpu)
    );
}

/// Returns the CPU time of all threads so far, in steps of a clock tick (10 ms).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let after_name = stat.rsplit(')').next().expect("the name is in brackets");
    let ticks = |at: usize| -> u64 {
        let field = after_name.split_whitespace().nth(at).expect("the field is there");
        field.parse().expect("the field is a number")
    };
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
