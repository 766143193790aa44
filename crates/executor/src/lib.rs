//! Runs one command, in one of several degrees of isolation.
//!
//! An [`Executor`] turns a [`Launch`] into an [`Execution`], which actors watch but do not own. The `process`
//! executor starts a plain child process; `fake` follows a script, for the tests of those actors. Around them
//! stand the things that belong to a run on this machine: its [`environment`], its [`workdir`], the
//! [`inputs`] that are placed there before and the [`artifacts`] that are collected from there after.
//!
//! Nothing here knows jobs, leases or coordinators. Linux 5.9 or newer.

pub mod artifacts;
pub mod environment;
pub mod fake;
pub mod inputs;
mod spawner;
pub mod workdir;

mod beneath;
mod clean_up;
mod command;
mod execution;
mod identity;
mod launch;
mod output;
mod process;
mod spawn;
mod wait;
mod watch;

pub use beneath::{PathError, RelativePath};
pub use clean_up::{CleanUpError, CleanedUp};
pub use command::Command;
pub use execution::{Drained, End, Execution, Executor, OutputEnd, Ready, Sink, Stream};
pub use identity::{Identity, Process, ProcessIdentity, boot_id};
pub use launch::{Fault, Launch, LaunchError, Limit, Limits};
pub use process::{DRAIN_LIMIT, ProcessExecutor};
pub use spawn::Step;
pub use spawner::{SpawnError, Spawner};
pub use wait::{Child, ExitStatus, Usage};
