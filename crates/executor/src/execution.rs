//! What every executor can do, and what one execution can be asked.
//!
//! An [`Execution`] lives outside of the actors that watch it and starts nothing that runs by itself: it moves
//! on only while somebody calls it. Every method may be abandoned at any await and called again, by the same
//! caller or by its successor, and nothing is lost.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clean_up::{CleanUpError, CleanedUp};
use crate::identity::Identity;
use crate::launch::{Launch, LaunchError, Limit};
use crate::wait::{ExitStatus, Usage};

/// A way to run commands.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Returns the word by which it is configured.
    fn name(&self) -> &'static str;

    /// Returns the limits that it holds a job to; others are ignored.
    fn enforces(&self) -> &'static [Limit];

    /// Starts a command. When the future is dropped before it is ready, nothing is left running.
    async fn start(&self, launch: Launch) -> Result<Arc<dyn Execution>, LaunchError>;

    /// Ends what is left of an execution that an earlier process of the agent started, and touches nothing else.
    ///
    /// To be called again if it was cancelled or failed.
    async fn clean_up(&self, identity: &Identity) -> Result<CleanedUp, CleanUpError>;
}

/// One running command.
///
/// Dropping the last reference to one that has not ended kills it.
#[async_trait]
pub trait Execution: Send + Sync {
    /// Returns how to recognise it after a crash of the agent.
    fn identity(&self) -> Identity;

    /// Waits until there is output to drain, or all is over. Cancel-safe.
    ///
    /// Returns [`Ready::Ended`] at once, and for ever, after the end.
    async fn ready(&self) -> Ready;

    /// Hands the output that is there to `sink`, up to `bytes_max`, without waiting.
    ///
    /// The sink takes all of a piece or refuses it with an error, which is returned; a refused piece, and one
    /// at which the sink panicked, comes again with the next call.
    fn drain(&self, sink: &mut Sink<'_>, bytes_max: usize) -> io::Result<Drained>;

    /// Returns how it ended: after its main process has ended, the rest of its processes was killed, and all
    /// its output has been drained.
    fn end(&self) -> Option<End>;

    /// Asks it to end: SIGTERM. Thaws it if it was frozen, for it could not react otherwise.
    fn terminate(&self);

    /// Ends it: SIGKILL to all of its processes.
    fn kill(&self);

    /// Stops all of its processes where they are.
    fn freeze(&self);

    /// Lets it continue.
    fn thaw(&self);
}

/// Takes one piece of output.
pub type Sink<'a> = dyn FnMut(Stream, &[u8]) -> io::Result<()> + 'a;

/// Where a piece of output was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why [`Execution::ready`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// There is output to drain.
    Output,
    /// All is over: see [`Execution::end`].
    Ended,
}

/// What one call of [`Execution::drain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Bytes that the sink took.
    pub bytes: usize,
    /// It stopped at the given maximum, so there may be more.
    pub more: bool,
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// How its main process ended.
    pub status: ExitStatus,
    /// What it used.
    pub usage: Usage,
    /// Whether all of its output was seen.
    pub output: OutputEnd,
}

/// Whether the output of an execution came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputEnd {
    /// Every process that could write has closed its output.
    Complete,
    /// A process that escaped the execution still held the output when the drain limit passed. Nothing that the
    /// main process wrote is missing.
    CutOff,
}
