//! `hiveforge job ..`: one file for each verb.

mod artifacts;
mod beneath;
mod cancel;
mod events;
mod list;
mod logs;
mod rerun;
mod show;
mod why;

use clap::{Args, Subcommand};

use crate::cli::Connection;
use crate::command::Context;
use crate::failure::Failure;

/// Options of `job`.
#[derive(Debug, Args)]
pub(crate) struct Job {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List jobs, newest first
    List(list::List),
    /// Show a job and its ended attempts
    Show(show::Show),
    /// Print a job's log
    Logs(logs::Logs),
    /// Ask to cancel jobs
    Cancel(cancel::Cancel),
    /// Submit a job's spec again
    Rerun(rerun::Rerun),
    /// List or download what an attempt left
    Artifacts(artifacts::Artifacts),
    /// Show everything that happened to a job
    Events(events::Events),
    /// Say why a job is where it is
    Why(why::Why),
}

impl Job {
    /// Does it.
    ///
    /// # Errors
    /// The verb's own.
    pub(crate) async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let client = ctx.connect(&self.connection)?;
        match self.verb {
            Verb::List(list) => list.run(&client, ctx.now).await,
            Verb::Show(show) => show.run(&client, ctx.now).await,
            Verb::Logs(logs) => logs.run(&client).await,
            Verb::Cancel(cancel) => cancel.run(&client).await,
            Verb::Rerun(rerun) => rerun.run(&client).await,
            Verb::Artifacts(artifacts) => artifacts.run(&client).await,
            Verb::Events(events) => events.run(&client).await,
            Verb::Why(why) => why.run(&client).await,
        }
    }
}
