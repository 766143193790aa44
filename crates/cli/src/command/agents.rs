//! `hiveforge agents list|drain|resume`.

use bytes::Bytes;
use clap::{Args, Subcommand};
use domain::AgentName;
use protocol::agents::{AgentList, AgentView};
use protocol::client::{Client, Options};
use serde_json::value::RawValue;

use crate::cli::Connection;
use crate::command::Context;
use crate::failure::Failure;
use crate::output::{self, OutputArgs, STATE_COLUMN};

/// Options of `agents`.
#[derive(Debug, Args)]
pub(crate) struct Agents {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the agents
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Let an agent take no more jobs; what it runs goes on
    Drain {
        /// The agent's name
        name: AgentName,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Let a drained agent take jobs again
    Resume {
        /// The agent's name
        name: AgentName,
        #[command(flatten)]
        output: OutputArgs,
    },
}

impl Agents {
    /// Does it, and prints the agents that it is about.
    ///
    /// # Errors
    /// The coordinator refuses or cannot be reached.
    pub(crate) async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let client = ctx.connect(&self.connection)?;
        let (format, reply) = match self.verb {
            Verb::List { output } => (output.format, client.get("/v1/agents", Options::default()).await?),
            Verb::Drain { name, output } => (output.format, tell(&client, &name, "drain").await?),
            Verb::Resume { name, output } => (output.format, tell(&client, &name, "resume").await?),
        };
        output::print_list(format, &reply, |list: AgentList| {
            let header = [
                "NAME",
                STATE_COLUMN,
                "RUNNING",
                "CPUS",
                "MEMORY",
                "SEEN",
                "LABELS",
            ];
            output::table(&header, list.items.iter().map(|agent| row(agent, ctx)))
        })
    }
}

async fn tell(client: &Client, name: &AgentName, verb: &str) -> Result<Box<RawValue>, Failure> {
    let path = format!("/v1/agents/{name}/{verb}");
    Ok(client
        .post_bytes(&path, Bytes::from_static(b"{}"), Options::default().repeatable())
        .await?)
}

fn row(agent: &AgentView, ctx: &Context) -> Vec<String> {
    let labels: Vec<String> = agent
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    vec![
        agent.name.to_string(),
        agent.state.as_str().to_owned(),
        format!("{}/{}", agent.running.len(), agent.slots),
        (f64::from(agent.capacity.cpu_millis) / 1000.0).to_string(),
        output::size(agent.capacity.memory_bytes),
        output::ago(agent.last_seen_at, ctx.now),
        labels.join(" "),
    ]
}
