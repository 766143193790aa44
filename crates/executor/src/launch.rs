//! What an executor is asked to run, and why it could not.
//!
//! A launch is complete: the program sees exactly this environment, this directory and these limits, and
//! inherits nothing else from the agent. Where the values come from is decided elsewhere
//! ([`crate::environment`], [`crate::workdir`]).

use std::io;
use std::path::PathBuf;

use crate::spawner::SpawnError;

/// One command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program and its arguments. A program without a slash is looked up in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The directory that the program starts in. It must exist.
    pub workdir: PathBuf,
    /// What the job may use.
    pub limits: Limits,
}

/// Upper bounds for one job; `None` is unlimited. Core dumps are always off.
///
/// Not every executor can enforce every limit: see [`crate::Executor::enforces`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    pub millicpus: Option<u32>,
    /// Processes and threads at the same time.
    pub pids: Option<u32>,
    /// Open files of one process.
    pub open_files: Option<u64>,
    /// Bytes of the largest file that may be written.
    pub file_size: Option<u64>,
}

/// The name of one member of [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::memory`]
    Memory,
    /// [`Limits::millicpus`]
    Cpus,
    /// [`Limits::pids`]
    Pids,
    /// [`Limits::open_files`]
    OpenFiles,
    /// [`Limits::file_size`]
    FileSize,
}

/// Why an execution could not be started. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The process could not be made.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The pipes for its output could not be made or watched.
    #[error("open the output pipes")]
    Pipes(#[source] io::Error),
}

/// Whom a failed launch is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The job: it fails the same way wherever it runs.
    Job,
    /// The machine: the job may run elsewhere, or here later.
    Machine,
}

impl LaunchError {
    /// Returns whom this failure is charged to.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Spawn(
                SpawnError::NotFound { .. }
                | SpawnError::NotExecutable { .. }
                | SpawnError::Unrepresentable { .. }
                | SpawnError::TooLong,
            ) => Fault::Job,
            Self::Spawn(
                SpawnError::BadWorkDir { .. }
                | SpawnError::Limit { .. }
                | SpawnError::Other { .. }
                | SpawnError::QueueFull
                | SpawnError::Stopped,
            )
            | Self::Pipes(_) => Fault::Machine,
        }
    }
}
