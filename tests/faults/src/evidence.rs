//! What must be so when a cell is over: nobody hurt but the victim, nothing left, the books in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use e2e::Books;
use ledger::keys;
use nexus::{Clock, Dump, Nexus as _, Space, SqliteNexus};
use supervision::{ActorState, Kind, Place};
use tokio::runtime::Builder;

use crate::cell::{Cell, holds_nothing};
use crate::column::Column;
use crate::wait::{eventually, unlocked, until};
use crate::world::World;

/// Ends by itself when its work is done, and is not missed.
const DONE_WITH: &str = "agent/leftovers";
/// Sets in which a job or a lease stands as long as it is not over.
const UNFINISHED: [&str; 4] = ["lane/", "leases/", "group/", "waiting/"];

/// Who was alive at a moment, and since when.
pub struct Lives(BTreeMap<String, Instant>);

impl Lives {
    /// Those of both trees.
    pub fn of(world: &World) -> Self {
        let trees = [&world.coordinator.tree, &world.agent.tree];
        let actors = trees.into_iter().flat_map(|tree| tree.directory().list());
        Self(
            actors
                .map(|actor| (actor.path.to_string(), actor.started_at))
                .collect(),
        )
    }

    /// Fails unless the actor was replaced if it should have been, and nobody else was.
    ///
    /// # Errors
    /// See above.
    pub fn check(&self, world: &World, cell: &Cell) -> Result<()> {
        let now = Self::of(world);
        for (path, since) in &self.0 {
            let later = now.0.get(path);
            if !cell.concerns(path) {
                let same = later == Some(since) || path == DONE_WITH;
                ensure!(same, "{path} is not the same actor any more");
            } else if cell.column.replaces() && path != DONE_WITH {
                ensure!(
                    later.is_some_and(|later| later > since),
                    "{path} was not replaced"
                );
            }
        }
        Ok(())
    }
}

/// Fails unless the last life of the actor ended as it should have.
///
/// # Errors
/// It ended otherwise.
pub fn exit(world: &World, cell: &Cell) -> Result<()> {
    let words = match cell.column {
        Column::PanicAtMessage => "injected panic",
        Column::Error => "injected error",
        Column::Hang => "took longer than",
        _ => return Ok(()),
    };
    let Some(actor) = cell.tree(world).directory().find(cell.row.actor) else {
        return Ok(());
    };
    let exit = actor.last_exit.map(|exit| exit.to_string()).unwrap_or_default();
    ensure!(exit.contains(words), "the last exit is {exit:?}");
    Ok(())
}

/// Waits until the world is at rest, with everybody there and nothing left.
///
/// # Errors
/// It does not come to rest; the words say what is missing.
pub async fn rest(world: &World) -> Result<()> {
    let mut missing = String::new();
    let everybody = until("everybody is there", || {
        missing = world
            .places()
            .filter(|place| !at_rest(world, place))
            .map(|place| format!("{} ", place.path))
            .collect();
        missing.is_empty()
    })
    .await;
    everybody.with_context(|| format!("missing: {missing}"))?;
    let station = &world.agent.station;
    until("the agent holds nothing", || holds_nothing(station)).await?;
    until("the agent is known and heard", || {
        let connection = *station.connection.borrow();
        connection.enrolled && connection.reachable
    })
    .await?;
    eventually("no process is left", async || {
        Ok(e2e::within(world.files.path())?.is_empty().then_some(()))
    })
    .await?;
    for part in ["work", "spool"] {
        empty(&world.files.path().join("agent").join(part))?;
    }
    Ok(())
}

/// Whether somebody is at a place and has nothing waiting.
fn at_rest(world: &World, place: &Place) -> bool {
    let path = place.path.as_str();
    let trees = [&world.coordinator.tree, &world.agent.tree];
    match trees.iter().find_map(|tree| tree.directory().find(path)) {
        None => path == DONE_WITH,
        // Its work is not done.
        Some(_) if path == DONE_WITH => false,
        Some(actor) => {
            let quiet = place.kind != Kind::Worker || actor.mailbox.depth == 0;
            actor.state == ActorState::Running && quiet
        }
    }
}

/// Fails unless the files of a world that has ended are in order: books, chains, no lease, no run, no directory.
///
/// # Errors
/// Something is not.
pub async fn files(world: &Path, n_jobs: usize) -> Result<()> {
    for part in ["work", "spool", "runs"] {
        empty(&world.join("agent").join(part))?;
    }
    let database = world.join("coordinator").join("nexus.db");
    let dump = read(&database).await?;
    let unfinished: BTreeSet<&String> = dump
        .sets
        .keys()
        .filter(|set| *set == keys::HELD || UNFINISHED.iter().any(|family| set.starts_with(family)))
        .collect();
    ensure!(unfinished.is_empty(), "something is left in {unfinished:?}");
    let books = unlocked(async || {
        let database = database.clone();
        tokio::task::spawn_blocking(move || Books::check(&database)).await?
    })
    .await?;
    books.all_ended_once()?;
    ensure!(
        books.jobs() == n_jobs,
        "{} jobs are on record, {n_jobs} were acknowledged",
        books.jobs()
    );
    Ok(())
}

/// Fails if a process that some world of this process had started still lives.
///
/// # Errors
/// One does, and does not end.
pub fn no_children() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut left = Vec::new();
    let none = runtime.block_on(eventually("no child is left", async || {
        left = children()?;
        Ok(left.is_empty().then_some(()))
    }));
    none.with_context(|| format!("left: {left:#?}"))
}

/// The living children of this process. A command that died with its agent is buried by whoever outlives the agent's
/// process, and here that is nobody, so the dead do not count.
fn children() -> Result<Vec<String>> {
    let parent = std::process::id().to_string();
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // A process may end while it is looked at.
        let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else {
            continue;
        };
        // The name, which may contain anything, is in brackets; behind it stand the state and the parent.
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        let mut fields = behind.split_whitespace();
        let lives = !matches!(fields.next(), Some("Z" | "X"));
        if lives && fields.next() == Some(parent.as_str()) {
            children.push(stat);
        }
    }
    Ok(children)
}

async fn read(database: &Path) -> Result<Dump> {
    let nexus = unlocked(async || Ok(SqliteNexus::open(database, Clock::system())?)).await?;
    let dump = nexus.dump(&Space::new("pool/default")?).await?;
    nexus.close().await?;
    Ok(dump)
}

fn empty(directory: &Path) -> Result<()> {
    let entries = std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<Vec<_>>>()?;
    ensure!(
        entries.is_empty(),
        "{} has {entries:?} in it",
        directory.display()
    );
    Ok(())
}
