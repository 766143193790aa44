//! The commands, one file each: their options and what they do.
//!
//! A command gets its options and the [`Context`], prints what it was asked for, and returns an exit code.

pub(crate) mod agent;
pub(crate) mod agents;
pub(crate) mod blob;
#[cfg(feature = "faults")]
pub(crate) mod chaos;
pub(crate) mod completions;
pub(crate) mod coordinator;
pub(crate) mod job;
pub(crate) mod lease_ttl;
pub(crate) mod observer;
pub(crate) mod pair;
pub(crate) mod run;
pub(crate) mod submit;
pub(crate) mod up;

use std::path::PathBuf;

use domain::Timestamp;
use protocol::client::Client;
use tracing_subscriber::EnvFilter;

use crate::cli::{Command, Connection};
use crate::connect::{Environment, connect, data_dir};
use crate::exit;
use crate::failure::Failure;
use crate::output;

/// The filter of a role's log when nothing is said.
const LOG_FILTER_DEFAULT: &str = "info";

/// What every command may look at.
pub(crate) struct Context {
    /// `--data`
    pub(crate) data: Option<PathBuf>,
    /// The environment variables.
    pub(crate) environment: Environment,
    /// When the command began, for relative times.
    pub(crate) now: Timestamp,
}

impl Context {
    /// A client of the coordinator that the user means.
    ///
    /// # Errors
    /// None is known, or there is no token for it.
    pub(crate) fn connect(&self, connection: &Connection) -> Result<Client, Failure> {
        connect(&connection.coordinators, self.data.as_deref(), &self.environment)
    }

    /// The data directory.
    ///
    /// # Errors
    /// Nothing says where it is.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Failure> {
        data_dir(self.data.as_deref(), &self.environment)
    }
}

/// Does what the command line says and returns the exit code.
///
/// # Errors
/// The command's own.
pub(crate) async fn dispatch(command: Command, ctx: &Context) -> Result<u8, Failure> {
    match command {
        Command::Up(up) => up.run(ctx).await,
        Command::Coordinator(coordinator) => coordinator.run(ctx).await,
        Command::Agent(agent) => agent.run(ctx).await,
        Command::Run(run) => return run.run(ctx).await,
        Command::Submit(submit) => submit.run(ctx).await,
        Command::Job(job) => job.run(ctx).await,
        Command::Agents(agents) => agents.run(ctx).await,
        Command::Blob(blob) => blob.run(ctx).await,
        Command::Observer(observer) => observer.run(ctx).await,
        #[cfg(feature = "faults")]
        Command::Chaos(chaos) => chaos.run(ctx).await,
        Command::Completions(completions) => completions.run(),
        Command::ExitCodes => output::print(&format!("{}\n", exit::help())),
    }
    .map(|()| 0)
}

/// Makes the log of a role go to stderr.
///
/// # Errors
/// `HIVEFORGE_LOG` cannot be read.
pub(crate) fn log_to_stderr(environment: &Environment) -> Result<(), Failure> {
    let filter = log_filter(environment.log.as_deref().unwrap_or(LOG_FILTER_DEFAULT))?;
    let colours = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

/// The filter that the user wishes for. The runtime of the actors would put its own name for the actor before each line
/// that an actor writes, so it is silent unless the wish names it: of two directives for one target the later one counts.
fn log_filter(wish: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(format!("ractor=off,{wish}")).map_err(|error| Failure::BadLogFilter(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_of_the_actors_is_silent_unless_it_is_asked_for() {
        let filter = |wish| {
            let text = log_filter(wish).unwrap().to_string();
            let mut directives: Vec<String> = text.split(',').map(str::to_owned).collect();
            directives.sort();
            directives
        };
        assert_eq!(filter("info"), ["info", "ractor=off"]);
        assert_eq!(filter("info,ractor=debug"), ["info", "ractor=debug"]);
        assert!(log_filter("info,=").is_err());
    }
}
