//! From a failure in a handler to the successor's first handled message, beside the least that `ractor` can do.
//!
//! The clock starts in the handler that is about to fail, and stops where the successor handles what it told itself in
//! its start; by then its handle is bound. The supervisor to compare with starts a new life and knows nothing else.

use std::panic;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ractor::{ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::sync::mpsc;

use crate::report::{Row, Section, Target, quantile};
use crate::{LIMIT, Scale, THREADS, on_threads, tree_of};

/// To reach.
const P50_US_MAX: f64 = 50.0;

pub(crate) fn measure(scale: Scale) -> Section {
    // The default hook prints every panic.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let rows = on_threads(THREADS, rounds(scale));
    panic::set_hook(hook);
    let Scale { rounds, restarts, .. } = scale;
    Section {
        what: format!("failure to first message handled, {restarts} of each kind, {rounds} rounds"),
        rows,
    }
}

async fn rounds(scale: Scale) -> Vec<Row> {
    let (stage, mut ups) = Stage::new();
    let ours = Handle::new("fragile", 1);
    let make = move || Fragile(stage.clone());
    let tree = tree_of([ChildSpec::worker("fragile", &ours, make)]).await;
    ups.recv().await.expect("the first life is up");
    let mut bare = Bare::start().await;
    let mut figures: [Figures; 4] = Default::default();
    for round in 0..=scale.rounds {
        for (how, of) in [(How::Panic, 0), (How::Error, 2)] {
            let mut took = [Vec::new(), Vec::new()];
            for _ in 0..scale.restarts {
                took[0].push(bare.restart(how).await);
            }
            for _ in 0..scale.restarts {
                ours.try_tell(Msg::Fail(how)).expect("it is up");
                took[1].push(restarted(ups.recv().await));
            }
            if round > 0 {
                figures[of].add(&took[0]);
                figures[of + 1].add(&took[1]);
            }
        }
    }
    bare.guard.stop(None);
    assert!(tree.stop(LIMIT).await.is_empty(), "everything stops");
    let [bare_panic, our_panic, bare_error, our_error] = figures;
    let ours = |figures: Figures, after: &str| {
        let [p50, p99] = figures.rows(after);
        [p50.target(Target::AtMost(P50_US_MAX)), p99]
    };
    [
        bare_panic.rows("a panic: bare ractor"),
        ours(our_panic, "a panic: ours"),
        bare_error.rows("an error: bare ractor"),
        ours(our_error, "an error: ours"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Of each round, in microseconds.
#[derive(Default)]
struct Figures {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Figures {
    fn add(&mut self, round: &[f64]) {
        self.p50.push(quantile(round, 0.5));
        self.p99.push(quantile(round, 0.99));
    }

    fn rows(self, after: &str) -> [Row; 2] {
        [
            Row::new(format!("after {after}, p50"), "us", self.p50),
            Row::new(format!("after {after}, p99"), "us", self.p99),
        ]
    }
}

#[derive(Clone, Copy)]
enum How {
    Panic,
    Error,
}

/// What the lives of one actor share: when the last one failed, and whom the next one tells.
#[derive(Clone)]
struct Stage<Up> {
    /// A lock and not an actor: the lives follow each other.
    failed_at: Arc<Mutex<Option<Instant>>>,
    ups: mpsc::Sender<(Option<Duration>, Up)>,
}

impl<Up> Stage<Up> {
    fn new() -> (Self, mpsc::Receiver<(Option<Duration>, Up)>) {
        let (ups, receiver) = mpsc::channel(1);
        let failed_at = Arc::default();
        (Self { failed_at, ups }, receiver)
    }

    fn fail(&self, how: How) -> Result<(), &'static str> {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        match how {
            How::Panic => panic!("on purpose"),
            How::Error => Err("on purpose"),
        }
    }

    fn up(&self, who: Up) {
        let failed_at = self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        let took = failed_at.map(|at| at.elapsed());
        assert!(self.ups.try_send((took, who)).is_ok(), "one restart at a time");
    }
}

fn restarted<Up>(up: Option<(Option<Duration>, Up)>) -> f64 {
    let (took, _who) = up.expect("the stage is there");
    took.expect("an earlier life has failed").as_secs_f64() * 1e6
}

struct Fragile(Stage<()>);

#[derive(Clone, Copy)]
enum Msg {
    Up,
    Fail(How),
}

impl ractor::Message for Msg {}

impl Actor for Fragile {
    type Msg = Msg;
    type State = ();

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<(), Failure> {
        ctx.tell_self(Msg::Up);
        Ok(())
    }

    async fn handle(&self, _: &Ctx<Msg>, msg: Msg, (): &mut ()) -> Result<(), Failure> {
        match msg {
            Msg::Up => self.0.up(()),
            Msg::Fail(how) => self.0.fail(how).map_err(Failure::new)?,
        }
        Ok(())
    }
}

struct BareFragile(Stage<ActorRef<Msg>>);

impl ractor::Actor for BareFragile {
    type Msg = Msg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(myself.cast(Msg::Up)?)
    }

    async fn handle(&self, myself: ActorRef<Msg>, msg: Msg, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Up => self.0.up(myself),
            Msg::Fail(how) => self.0.fail(how)?,
        }
        Ok(())
    }
}

/// Starts a new life whenever one has failed.
struct Guard(Stage<ActorRef<Msg>>);

impl Guard {
    async fn start_one(&self, myself: ActorCell) -> Result<(), ActorProcessingErr> {
        myself.spawn_linked(None, BareFragile(self.0.clone()), ()).await?;
        Ok(())
    }
}

impl ractor::Actor for Guard {
    type Msg = Msg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        self.start_one(myself.get_cell()).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Msg>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(..) = event {
            self.start_one(myself.get_cell()).await?;
        }
        Ok(())
    }
}

/// A guard and its child.
struct Bare {
    guard: ActorRef<Msg>,
    child: ActorRef<Msg>,
    ups: mpsc::Receiver<(Option<Duration>, ActorRef<Msg>)>,
}

impl Bare {
    async fn start() -> Self {
        let (stage, mut ups) = Stage::new();
        let (guard, _task) = ractor::Actor::spawn(None, Guard(stage), ())
            .await
            .expect("nothing in it can fail");
        let (_, child) = ups.recv().await.expect("the first life is up");
        Self { guard, child, ups }
    }

    async fn restart(&mut self, how: How) -> f64 {
        self.child.cast(Msg::Fail(how)).expect("it is up");
        let (took, child) = self.ups.recv().await.expect("the stage is there");
        self.child = child.clone();
        restarted(Some((took, child)))
    }
}
