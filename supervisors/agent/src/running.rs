//! A running agent: its tree, and how it ends.
//!
//! It ends when it was told to, or has had its share (`once`), and everything that it held is reported; or when the tree
//! gives up, which is a failure. Told twice, it ends now: what runs is killed and reported as preempted. [`END_MAX`] and
//! [`HURRIED_END_MAX`] say how long that takes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use agent::ending::FAREWELL;
use agent::{Config, OpenError, Station, Stop};
use executor::{Executor, ProcessExecutor, Spawner};
use supervision::{Directory, Exit, KILL_GRACE, Tree};
use tokio::time::timeout;

use crate::tree;

/// How long the last words may take when the agent ends: what the coordinator was not told by then, the next process
/// tells it.
pub const LAST_WORDS: Duration = Duration::from_secs(10);
/// How long all actors together may take to stop before they are killed, and again so long whatever they shared.
pub const TREE_STOP: Duration = Duration::from_secs(5);
/// How long an agent that was told to end takes at most once its runs have ended and are reported.
pub const END_MAX: Duration = FAREWELL.saturating_add(HURRIED_END_MAX);
/// How long an agent that was told to end now takes at most.
pub const HURRIED_END_MAX: Duration = LAST_WORDS.saturating_add(CLOSE_MAX);
/// How long [`Running::close`] takes at most.
const CLOSE_MAX: Duration = TREE_STOP.saturating_add(KILL_GRACE).saturating_add(TREE_STOP);
/// Threads that make processes.
const SPAWNERS_MAX: usize = 4;

/// A running agent. Dropping it kills its actors and what they run.
pub struct Running {
    station: Arc<Station>,
    tree: Tree,
}

/// Why an agent does not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The station cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The threads that make processes cannot be started.
    #[error("cannot start the executor")]
    Executor(#[source] io::Error),
    /// An actor does not start.
    #[error(transparent)]
    Tree(#[from] supervision::StartError),
}

/// Starts an agent with the `process` executor.
///
/// # Errors
/// See [`StartError`]. Nothing is left running.
pub async fn start(config: &Config) -> Result<Running, StartError> {
    start_in(config, &Directory::new()).await
}

/// Starts an agent with the `process` executor, its actors in a directory that others may look into.
///
/// # Errors
/// See [`StartError`]. Nothing is left running.
pub async fn start_in(config: &Config, directory: &Directory) -> Result<Running, StartError> {
    let slots = config.resolve().map_err(OpenError::from)?.slots;
    let spawner = Spawner::new(slots.min(SPAWNERS_MAX)).map_err(StartError::Executor)?;
    let executor = ProcessExecutor::new(spawner).map_err(StartError::Executor)?;
    launch(config, Arc::new(executor), directory).await
}

/// Starts an agent with this executor.
///
/// # Errors
/// See [`StartError`]. Nothing is left running.
pub async fn start_with(config: &Config, executor: Arc<dyn Executor>) -> Result<Running, StartError> {
    launch(config, executor, &Directory::new()).await
}

async fn launch(
    config: &Config,
    executor: Arc<dyn Executor>,
    directory: &Directory,
) -> Result<Running, StartError> {
    let station = Station::open_apart(config, executor).await?;
    let tree = Tree::start_in("agent", tree(&station), directory).await?;
    Ok(Running { station, tree })
}

impl Running {
    /// What the process holds beside its actors.
    pub fn station(&self) -> &Arc<Station> {
        &self.station
    }

    /// The live actors.
    pub fn directory(&self) -> Directory {
        self.tree.directory()
    }

    /// Tells the agent to end. [`Stop::Drain`] lets what runs go on to its end, or to the configured limit; [`Stop::Now`]
    /// kills it. Returns at once; [`Running::wait`] waits. Telling it again can only make it more urgent.
    pub fn stop(&self, stop: Stop) {
        self.station.table.stop(stop);
    }

    /// Waits until the agent has ended, which it does by itself only with `once`. May be cancelled and called again.
    ///
    /// # Errors
    /// The tree gave up; the exit says which actor failed, how often and why.
    pub async fn wait(&mut self) -> Result<(), Exit> {
        tokio::select! {
            exit = self.tree.exited() => Err(exit),
            () = agent::ending::ended(&self.station, LAST_WORDS) => Ok(()),
        }
    }

    /// Stops all actors, after [`Running::wait`], and waits until the data directory is free for another agent. What
    /// still runs is killed; the next process reports it. Takes twice [`TREE_STOP`] and [`KILL_GRACE`] at most.
    pub async fn close(self) {
        let Self { station, tree } = self;
        for path in tree.stop(TREE_STOP).await {
            tracing::error!(%path, "an actor does not end");
        }
        let mut connection = station.connection.subscribe();
        drop(station);
        // The sender goes with the station, when the last of the actors' parts has let go of it.
        let gone = async { while connection.changed().await.is_ok() {} };
        if timeout(TREE_STOP, gone).await.is_err() {
            tracing::error!("something of the agent does not end");
        }
    }
}
