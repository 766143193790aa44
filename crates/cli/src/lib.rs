//! The command line: one program for the roles and for everything that a user asks of a coordinator.
//!
//! Start reading at [`cli`], the tree of commands, then `command/<verb>.rs` for the one you look for. What a command is
//! asked for goes to stdout, everything else to stderr. `failure` maps every error to its words, hint and exit code;
//! `exit` maps a job's end to an exit code; `docs/cli.md` says both to users.
//!
//! It has no rules of its own: it is one more client of the protocol.

mod blobs;
pub mod cli;
mod command;
mod connect;
mod create;
mod escape;
mod exit;
mod failure;
mod follow;
mod inputs;
mod output;
mod place;
mod role;
mod signals;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser as _;
use domain::Timestamp;
use tokio::runtime::{Builder, Runtime};

use crate::cli::Cli;
use crate::command::Context;
use crate::connect::Environment;
use crate::failure::Failure;

/// Reads the process's arguments and environment, does what they say, and returns the exit code.
pub fn main() -> ExitCode {
    // Where this process is to break is said by FAILPOINTS, in tests.
    #[cfg(feature = "faults")]
    let _breaks = fail::FailScenario::setup();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Help for a reader that has gone is no failure.
            drop(usage.print());
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(exit::COMMAND_LINE));
        }
    };
    cli.global.color.apply();
    ExitCode::from(match execute(cli) {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure);
            failure.code()
        }
    })
}

fn execute(cli: Cli) -> Result<u8, Failure> {
    let ctx = Context {
        data: cli.global.data,
        environment: Environment::of_process(),
        now: now(),
    };
    let runtime = if cli.command.is_role() {
        command::log_to_stderr(&ctx.environment)?;
        Builder::new_multi_thread().enable_all().build()
    } else {
        Builder::new_current_thread().enable_all().build()
    };
    let runtime = runtime.map_err(Failure::Runtime)?;
    let result = runtime.block_on(command::dispatch(cli.command, &ctx));
    forget(runtime);
    result
}

/// Does not wait for blocking calls that nobody needs any more, such as a name lookup after Ctrl-C.
fn forget(runtime: Runtime) {
    runtime.shutdown_background();
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
