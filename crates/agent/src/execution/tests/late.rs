//! Work with files that is held up: what comes late changes nothing, and nobody stands still for it.

use executor::{ProcessExecutor, Spawner};
use futures_util::poll;

use super::*;
use crate::marshal::clear_away;

/// How long anything here may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Waits until nobody but the table and the test has a hold on the run.
async fn only_held_by(run: &Arc<Run>, holders: usize) {
    let deadline = Instant::now() + SOON;
    while Arc::strong_count(run) > holders {
        assert!(Instant::now() < deadline, "somebody is still at it");
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the disk stands still meanwhile")]
async fn a_work_directory_that_is_made_late_neither_empties_its_successor_nor_comes_after_the_end() {
    let world = World::new(fake(&[], false));
    world.admit(spec(MINUTE));
    let Duty::Prepare(run) = world.station.table.duty(0, Instant::now()) else {
        panic!("nothing to prepare")
    };
    let holders = Arc::strong_count(&run);
    let abandoned = async || {
        let mut preparing = Box::pin(prepare(&world.station, &run));
        assert!(poll!(preparing.as_mut()).is_pending());
    };

    let disk = run.site.hold_up();
    abandoned().await;
    let mut preparing = Box::pin(prepare(&world.station, &run));
    assert!(poll!(preparing.as_mut()).is_pending());
    drop(disk);
    preparing.await.unwrap();
    let workdir = run.workdir.get().unwrap();
    fs::write(workdir.join("in"), "input").unwrap();
    only_held_by(&run, holders).await;
    assert!(workdir.join("in").exists());

    let disk = run.site.hold_up();
    abandoned().await;
    drop(disk);
    clear_away(&world.station, &[(Arc::clone(&run), true)]);
    only_held_by(&run, holders).await;
    assert!(!workdir.exists());
}

/// Waits for a file that a script makes.
async fn made(marker: &std::path::Path) -> bool {
    let deadline = Instant::now() + SOON;
    while !marker.exists() && Instant::now() < deadline {
        sleep(Duration::from_millis(1)).await;
    }
    marker.exists()
}

#[tokio::test]
async fn while_the_disk_stands_still_a_run_has_successors_to_watch_it_and_can_be_cancelled() {
    let markers = TempDir::new().unwrap();
    let (full, asked) = (markers.path().join("full"), markers.path().join("asked"));
    let mut spec = spec(MINUTE);
    spec.command = ["/bin/sh", "-c"].map(str::to_owned).into();
    // More than fits into memory. The pipe takes all but a page of it, and one piece is drained, however small: a page.
    let script =
        "trap 'touch asked; exit' TERM; head -c 69000 /dev/zero; touch full; while :; do sleep 0.01; done";
    let script = script.replace("touch ", &format!("touch {}/", markers.path().display()));
    spec.command.push(script);
    let world = World::new(ProcessExecutor::new(Spawner::new(1).unwrap()).unwrap());
    world.admit(spec);
    let Duty::Prepare(run) = world.station.table.duty(0, Instant::now()) else {
        panic!("nothing to prepare")
    };

    let disk = run.spool.take_turn();
    for _ in 0..2 {
        let actor = world.actor().await;
        let filled = made(&full).await;
        drop(actor);
        if !filled {
            drop(disk);
            panic!("nobody drains");
        }
    }
    let _actor = world.actor().await;
    let proofs = world.station.table.all_renewals();
    world
        .station
        .table
        .renewed(&proofs, &[Standing::Cancel], BootTime::now(), Instant::now());
    let heard = made(&asked).await;
    drop(disk);
    assert!(heard, "the cancel waits for the disk");
    let deadline = Instant::now() + SOON;
    while !run.spool.is_closed() {
        assert!(Instant::now() < deadline, "the run does not end");
        sleep(Duration::from_millis(1)).await;
    }
    assert!(run.spool.len() > 69_000);
}

/// An executor that never answers.
struct Silent;

#[async_trait]
impl Executor for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn enforces(&self) -> &'static [Limit] {
        &[]
    }

    async fn start(&self, _: Launch) -> Result<Arc<dyn Command>, LaunchError> {
        std::future::pending().await
    }

    async fn clean_up(&self, _: &Identity) -> Result<CleanedUp, CleanUpError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_never_ends_is_given_up_when_its_run_is_cancelled_or_its_lease_is_lost() {
    for (standing, end) in [
        (Standing::Cancel, Some(RunEnd::Cancelled)),
        (Standing::Lost, None),
    ] {
        let world = World::new(Silent);
        let _actor = world.actor().await;
        world.admit(spec(MINUTE));
        sleep(MINUTE).await;
        let proofs = world.station.table.all_renewals();
        world
            .station
            .table
            .renewed(&proofs, &[standing], BootTime::now(), Instant::now());
        sleep(Duration::from_secs(2)).await;
        let reported = world.station.table.batch(1).finishes;
        assert_eq!(reported.first().map(|finish| finish.report.end.clone()), end);
        assert_eq!(world.station.table.is_empty(), end.is_none());
        assert!(matches!(world.station.table.duty(0, Instant::now()), Duty::Idle));
    }
}
