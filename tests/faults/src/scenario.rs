//! What happens in a cell: jobs run and wait, an actor is hurt, more jobs come, and all must end well.
//!
//! One long job runs through all of it: through the fault, the recovery and the work after it. So a fault that touches
//! what runs is seen whenever it strikes.

use anyhow::{Context as _, Result, ensure};
use domain::JobId;
use supervision::Exit;
use supervision::faults::{What, When};
use tokio::time::timeout;

use crate::cell::Cell;
use crate::column::Column;
use crate::evidence::{self, Lives};
use crate::jobs::{Gate, Ran};
use crate::people::People;
use crate::stuck::Stuck;
use crate::toll;
use crate::treatment::Story;
use crate::wait::{LIMIT, eventually, until};
use crate::world::World;

/// How long the work of a leftovers actor is held up, so that it can be met at it.
const HELD_UP: std::time::Duration = std::time::Duration::from_millis(500);

/// The jobs that run when the actor is hurt.
struct Long {
    /// The one that ends first.
    first: (JobId, Gate),
    /// The one that runs through all of it.
    last: (JobId, Gate),
    /// What ran of them before.
    ran: [Vec<Ran>; 2],
}

/// Lives through one cell.
///
/// # Errors
/// Something is not as it should be; the words are the evidence.
pub async fn live_through(cell: &Cell) -> Result<()> {
    let world = World::start(cell.plan()).await.context("start the world")?;
    let people = People::of(&world)?;
    let long = start_long(&world, &people).await?;
    queue(&world, &people).await?;
    let (world, n_attempts) = match cell.row.story {
        Story::Running => {
            running(cell, &world, &people, long).await?;
            (world, 1)
        }
        Story::Successor => (successor(cell, world, &people, long).await?, 2),
        Story::EndOfProcess => end_of_process(cell, world, &people, long).await?,
    };
    evidence::rest(&world).await?;
    evidence::exit(&world, cell)?;
    pay(cell, &world).await?;
    let jobs = people.jobs();
    for (index, job) in jobs.iter().enumerate() {
        let is_long = index < 2;
        let n_wanted = if is_long { n_attempts } else { 1 };
        let kept = people.check(job, is_long).await?;
        let ran: Vec<u32> = world.stage.ran(job)?.iter().map(|ran| ran.attempt).collect();
        ensure!(
            ran == kept && ran.len() == n_wanted,
            "{job} ran in attempts {ran:?} of {kept:?}, and should have run {n_wanted} times"
        );
    }
    let files = world.end().await?;
    evidence::files(files.path(), jobs.len()).await
}

/// Fails unless nothing went wrong but what had to; what is written down last comes a moment after it happened.
async fn pay(cell: &Cell, world: &World) -> Result<()> {
    toll::of_nobody(&cell.other_tree(world).directory())?;
    let directory = cell.tree(world).directory();
    if cell.row.story == Story::EndOfProcess {
        // The tree that was hurt is gone, and this is its successor.
        return toll::of_nobody(&directory);
    }
    let mut complaint = None;
    until("the toll is as it must be", || {
        complaint = toll::of_victim(&directory, cell).err();
        complaint.is_none()
    })
    .await
    .map_err(|late| complaint.unwrap_or(late))
}

/// Two jobs that run.
async fn start_long(world: &World, people: &People) -> Result<Long> {
    let gates = [world.stage.gate("first")?, world.stage.gate("last")?];
    let mut jobs = Vec::new();
    for gate in &gates {
        jobs.push(people.submit(&world.stage.long(gate)?).await?);
    }
    let ran = eventually("both long jobs run", async || {
        let ran = [world.stage.ran(&jobs[0])?, world.stage.ran(&jobs[1])?];
        let both_run = jobs.iter().all(|job| world.agent.station.table.is_running(job));
        Ok((both_run && ran.iter().all(|ran| !ran.is_empty())).then_some(ran))
    })
    .await?;
    let [first, last] = gates;
    let [one, other] = jobs.try_into().expect("two were submitted");
    Ok(Long {
        first: (one, first),
        last: (other, last),
        ran,
    })
}

/// Jobs that wait: for a slot, for their time, and for each other.
async fn queue(world: &World, people: &People) -> Result<()> {
    let stage = &world.stage;
    for spec in [
        stage.short()?,
        stage.short()?,
        stage.later()?,
        stage.grouped()?,
        stage.grouped()?,
    ] {
        people.submit(&spec).await?;
    }
    Ok(())
}

async fn running(cell: &Cell, world: &World, people: &People, mut long: Long) -> Result<()> {
    let before = Lives::of(world);
    let stuck = Stuck::watch(cell, &cell.tree(world).directory());
    cell.strike(world)?;
    let work = async {
        more(world, people).await?;
        if cell.column != Column::SlowStop && !cell.shows_at_an_end() {
            // What the agent has parked at the coordinator is answered when there is news.
            eventually("the fault strikes", async || {
                people.prod().await?;
                Ok(cell.has_struck(world).then_some(()))
            })
            .await?;
        }
        untouched(world, &long)?;
        long.first.1.open()?;
        let mut others = people.jobs();
        others.retain(|job| *job != long.last.0);
        people.succeed(&others).await.context("while one job runs on")?;
        // Once more, from rest.
        let job = people.submit(&world.stage.short()?).await?;
        people.succeed(&[job]).await.context("the job after it")?;
        untouched(world, &long)?;
        long.last.1.open()?;
        people.succeed(&people.jobs()).await?;
        // Which of the two ran in the slot that is hurt is not known.
        until("the fault has struck", || cell.has_struck(world)).await
    };
    let (worked, seen) = tokio::join!(work, witness(cell, world, stuck));
    worked?;
    seen?;
    let mut complaint = None;
    until("the actor is replaced, and nobody else", || {
        complaint = before.check(world, cell).err();
        complaint.is_none()
    })
    .await
    .map_err(|late| complaint.unwrap_or(late))
}

/// More work while the fault is in force, and a word to the agent.
async fn more(world: &World, people: &People) -> Result<()> {
    for _ in 0..2 {
        people.submit(&world.stage.short()?).await?;
    }
    people.prod().await
}

/// Fails unless what runs is what ran: the same process of the same attempt.
fn untouched(world: &World, long: &Long) -> Result<()> {
    let ran = world.stage.ran(&long.last.0)?;
    ensure!(
        ran == long.ran[1],
        "{} ran as {:?}, then as {ran:?}",
        long.last.0,
        long.ran[1]
    );
    let runs = world.agent.station.table.is_running(&long.last.0);
    ensure!(runs, "{} does not run any more", long.last.0);
    Ok(())
}

/// Sees what can be seen of the fault only while it is in force.
async fn witness(cell: &Cell, world: &World, stuck: Stuck) -> Result<()> {
    let tree = cell.tree(world);
    let actor = cell.row.actor;
    match cell.column {
        Column::Block => stuck.seen().await,
        Column::SlowStop => {
            let (supervisor, id) = actor.rsplit_once('/').context("a root has no supervisor")?;
            tree.terminate_child(supervisor, id)
                .await
                .context("terminate it")?;
            ensure!(cell.has_struck(world), "it stopped without being asked");
            tree.restart_child(supervisor, id).await.context("restart it")?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The agent's process dies, and what its successor has to do about that goes wrong.
async fn successor(cell: &Cell, world: World, people: &People, mut long: Long) -> Result<World> {
    let held_up = matches!(
        cell.column,
        Column::PanicInStart | Column::Kill | Column::SlowStop
    );
    cell.strike_wire(&world)?;
    let mut watched = None;
    let world = world
        .restart_agent(|directory| {
            watched = Some(Stuck::watch(cell, directory));
            match held_up {
                true => cell.inject(directory, When::Message(1), What::Delay(HELD_UP)),
                false => cell.strike_actor(directory),
            }
        })
        .await?;
    let stuck = watched.context("the agent was not restarted")?;
    let before = Lives::of(&world);
    if held_up {
        let directory = world.agent.tree.directory();
        until("it is at work", || !directory.faults().fired().is_empty()).await?;
        cell.strike_actor(&directory)?;
    }
    let work = async {
        more(&world, people).await?;
        until("the fault has struck", || cell.has_struck(&world)).await?;
        long.first.1.open()?;
        long.last.1.open()?;
        people.succeed(&people.jobs()).await
    };
    let (worked, seen) = tokio::join!(work, witness(cell, &world, stuck));
    worked?;
    seen?;
    before.check(&world, cell)?;
    Ok(world)
}

/// The root of a tree is killed: the process ends and says so, and the next one finds everything.
async fn end_of_process(
    cell: &Cell,
    world: World,
    people: &People,
    mut long: Long,
) -> Result<(World, usize)> {
    let before = Lives::of(&world);
    let tree = cell.tree(&world);
    cell.kill(&tree.directory())?;
    let exit = timeout(LIMIT, tree.exited())
        .await
        .context("wait for the end of the tree")?;
    ensure!(exit == Exit::Killed, "the tree ends as {exit}");
    toll::of_victim(&tree.directory(), cell)?;
    let is_agent = cell.row.actor == "agent";
    let world = if is_agent {
        world.restart_agent(|_| Ok(())).await?
    } else {
        untouched(&world, &long)?;
        world.restart_coordinator().await?
    };
    more(&world, people).await?;
    if !is_agent {
        untouched(&world, &long)?;
    }
    long.first.1.open()?;
    long.last.1.open()?;
    people.succeed(&people.jobs()).await?;
    before.check(&world, cell)?;
    // Commands die with the process of their agent, which costs them an attempt.
    Ok((world, if is_agent { 2 } else { 1 }))
}
