//! `hiveforge job cancel`: the wish to end jobs; the coordinator decides when.

use clap::Args;
use domain::JobId;
use protocol::client::{Client, Options};
use protocol::jobs::{CancelRequest, JobView};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::output::{self, OutputArgs, STATE_COLUMN};

/// Options of `job cancel`.
#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// The jobs
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<JobId>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Cancel {
    /// Asks for each, and prints what became of it.
    ///
    /// # Errors
    /// The coordinator refuses one or cannot be reached; those before it were asked for.
    pub(super) async fn run(self, client: &Client) -> Result<(), Failure> {
        let request = CancelRequest { reason: self.reason };
        for job in &self.jobs {
            let path = format!("/v1/jobs/{job}/cancel");
            let reply: Box<RawValue> = client
                .post(&path, &request, Options::default().repeatable())
                .await?;
            output::print_object(self.output.format, &reply, |job: JobView| {
                let note = if job.state.is_terminal() {
                    ""
                } else {
                    "cancel requested"
                };
                let row = vec![job.id.to_string(), job.state.to_string(), note.to_owned()];
                let table = output::table(&["ID", STATE_COLUMN, ""], [row]);
                table.lines().skip(1).map(|line| format!("{line}\n")).collect()
            })?;
        }
        Ok(())
    }
}
