//! One slot's actor with a scripted command, under a paused clock.

mod late;

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::job::RunEnd;
use domain::{JobId, JobSpec, Lane, Span};
use executor::fake::{Asked, FakeExecutor, Script, Step};
use executor::{CleanUpError, CleanedUp, Executor, ExitStatus, Identity, Launch, Limit};
use protocol::LeaseToken;
use protocol::leases::{Lease, Standing};
use supervision::{Intensity, Strategy, Tree, TreeSpec};
use tempfile::TempDir;

use super::*;
use crate::clock::BootTime;
use crate::config::Config;
use crate::table::Batch;

const MINUTE: Duration = Duration::from_secs(60);

struct World {
    station: Arc<Station>,
    _data: TempDir,
}

impl World {
    fn new(executor: impl Executor + 'static) -> Self {
        let data = TempDir::new().unwrap();
        let config = format!(
            "coordinators = [\"http://127.0.0.1:1\"]\njoin_token = \"t\"\nname = \"a\"\nslots = 1\ndata = \"{}\"",
            data.path().display()
        );
        let station = Station::open(&Config::from_toml(&config).unwrap(), Arc::new(executor)).unwrap();
        Self { station, _data: data }
    }

    /// The slot's actor in a tree of its own. Dropping it kills the actor.
    async fn actor(&self) -> Tree {
        let intensity = Intensity {
            max: 3,
            within: MINUTE,
        };
        let spec = TreeSpec::new(Strategy::OneForOne, intensity).child(child_spec(&self.station, 0));
        Tree::start("slot", spec).await.unwrap()
    }

    fn admit(&self, spec: JobSpec) {
        let lease = Lease {
            job: JobId::new("default".parse().unwrap(), &"0".repeat(26)).unwrap(),
            attempt: 1,
            token: LeaseToken::new(1, &"0".repeat(26).parse().unwrap(), "seal"),
            lane: Lane::default(),
            ttl_ms: 86_400_000,
            cancel: false,
            spec,
        };
        self.station.table.admit(vec![lease], BootTime::now());
    }

    async fn report(&self) -> Batch {
        let ended = || self.station.table.batch(1);
        while ended().runs.is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        ended()
    }
}

fn fake(steps: &[Step], ignores_terminate: bool) -> FakeExecutor {
    let script = Script {
        steps: steps.to_vec(),
        ignores_terminate,
    };
    FakeExecutor::new(move |_| Ok(script.clone()))
}

fn spec(timeout: Duration) -> JobSpec {
    let mut spec = JobSpec::command(["/x"]);
    spec.timeout = Span::from_millis(u64::try_from(timeout.as_millis()).unwrap());
    spec
}

#[tokio::test(start_paused = true)]
async fn a_command_that_runs_too_long_is_asked_to_end_and_then_killed() {
    let executor = fake(&[], true);
    let world = World::new(executor.clone());
    let _actor = world.actor().await;
    world.admit(spec(MINUTE));
    let report = world.report().await.finishes.remove(0).report;
    assert_eq!(report.end, RunEnd::Failed(Cause::Timeout));
    assert_eq!(executor.asked()[1..], [Asked::Terminate(1), Asked::Kill(1)]);
    let ran = report.evidence.unwrap().ran.duration();
    assert!(
        ran >= MINUTE + Duration::from_secs(10) && ran < MINUTE + Duration::from_secs(11),
        "{ran:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_the_command_and_a_command_that_ended_by_itself_is_not_cancelled() {
    let executor = fake(&[], false);
    let world = World::new(executor.clone());
    let _actor = world.actor().await;
    world.admit(spec(MINUTE * 9));
    while executor.asked().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    let later = BootTime::now().plus(MINUTE * 60 * 24);
    let proofs = world.station.table.due_renewals(later).unwrap();
    world
        .station
        .table
        .renewed(&proofs, &[Standing::Cancel], BootTime::now(), Instant::now());
    assert_eq!(world.report().await.finishes[0].report.end, RunEnd::Cancelled);
    assert_eq!(executor.asked()[1..], [Asked::Terminate(1)]);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_dies_again_and_again_loses_no_byte_and_starts_nothing_twice() {
    let line = |n: u32| Step::Write(Stream::Stdout, format!("line {n}\n").into_bytes());
    let mut steps: Vec<_> = (0..50)
        .flat_map(|n| [line(n), Step::Wait(Duration::from_millis(10))])
        .collect();
    steps.push(Step::Exit(ExitStatus::Exited(0)));
    let executor = fake(&steps, false);
    let world = World::new(executor.clone());
    world.admit(spec(MINUTE));
    while world.station.table.batch(1).runs.is_empty() {
        let actor = world.actor().await;
        sleep(Duration::from_millis(63)).await;
        drop(actor);
    }
    let log = world.station.table.batch(1).finishes[0].log.clone().unwrap();
    let mut decoder = frame::Decoder::default();
    decoder.push(&log);
    let text: Vec<u8> = std::iter::from_fn(|| decoder.next_frame().unwrap())
        .flat_map(|frame| frame.data)
        .collect();
    let expected: String = (0..50).map(|n| format!("line {n}\n")).collect();
    assert_eq!(String::from_utf8(text).unwrap(), expected);
    assert_eq!(executor.asked().len(), 1);
}

/// An executor that takes its time to start.
struct Slow {
    fake: FakeExecutor,
    starts: Arc<AtomicUsize>,
}

#[async_trait]
impl Executor for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn enforces(&self) -> &'static [Limit] {
        &[]
    }

    async fn start(&self, launch: Launch) -> Result<Arc<dyn Command>, LaunchError> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        sleep(MINUTE).await;
        self.fake.start(launch).await
    }

    async fn clean_up(&self, identity: &Identity) -> Result<CleanedUp, CleanUpError> {
        self.fake.clean_up(identity).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_under_way_survives_the_actor_that_waits_for_it() {
    let fake = fake(&[Step::Exit(ExitStatus::Exited(0))], false);
    let starts = Arc::new(AtomicUsize::new(0));
    let world = World::new(Slow {
        fake: fake.clone(),
        starts: Arc::clone(&starts),
    });
    world.admit(spec(MINUTE));
    for _ in 0..4 {
        let actor = world.actor().await;
        sleep(MINUTE / 5).await;
        drop(actor);
    }
    let _actor = world.actor().await;
    assert_eq!(world.report().await.finishes[0].report.end, RunEnd::Succeeded);
    assert_eq!((starts.load(Ordering::Relaxed), fake.asked().len()), (1, 1));
}
