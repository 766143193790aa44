//! `hiveforge job events`: everything that happened to a job, oldest first.

use clap::Args;
use domain::JobId;
use protocol::client::{Client, Options};
use protocol::jobs::{EventList, EventView};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::output::{self, OutputArgs, STATE_COLUMN};

/// Options of `job events`.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// The job
    job: JobId,
    #[command(flatten)]
    output: OutputArgs,
}

impl Events {
    /// Prints the events. Their times are exact even for people: here the order and the distance matter.
    ///
    /// # Errors
    /// The coordinator refuses or cannot be reached.
    pub(super) async fn run(self, client: &Client) -> Result<(), Failure> {
        let path = format!("/v1/jobs/{}/events", self.job);
        let reply: Box<RawValue> = client.get(&path, Options::default()).await?;
        output::print_list(self.output.format, &reply, |list: EventList| {
            let header = ["AT", STATE_COLUMN, "EVENT", "ATTEMPT", "AGENT", "BY", "DETAIL"];
            output::table(&header, list.items.iter().map(row))
        })
    }
}

fn row(event: &EventView) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        event.at.to_string(),
        event.state.to_string(),
        event.event.clone(),
        or_dash(event.attempt.map(|attempt| attempt.to_string())),
        or_dash(event.agent.as_ref().map(ToString::to_string)),
        or_dash(event.by.as_ref().map(ToString::to_string)),
        event.detail.clone().unwrap_or_default(),
    ]
}
