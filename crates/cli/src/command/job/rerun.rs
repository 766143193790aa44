//! `hiveforge job rerun`: the same spec once more, as a new job.

use bytes::Bytes;
use clap::Args;
use domain::JobId;
use protocol::client::Client;
use serde_json::value::RawValue;

use crate::command::submit::print_submitted;
use crate::create::create;
use crate::failure::Failure;
use crate::output::OutputArgs;

/// Options of `job rerun`.
#[derive(Debug, Args)]
pub(super) struct Rerun {
    /// The job
    job: JobId,
    #[command(flatten)]
    output: OutputArgs,
}

impl Rerun {
    /// Submits it again and prints the new id.
    ///
    /// # Errors
    /// The coordinator refuses or cannot be reached.
    pub(super) async fn run(self, client: &Client) -> Result<(), Failure> {
        let path = format!("/v1/jobs/{}/rerun", self.job);
        let reply: Box<RawValue> = create(client, &path, Bytes::from_static(b"{}")).await?;
        print_submitted(self.output.format, &reply)
    }
}
