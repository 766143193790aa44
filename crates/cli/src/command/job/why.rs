//! `hiveforge job why`: the verdict, and all that keeps each agent from taking the job.

use clap::Args;
use domain::{JobId, Unmet};
use protocol::client::{Client, Options};
use protocol::jobs::{WhyAgent, WhyView};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::output::{self, OutputArgs};

/// Options of `job why`.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The job
    job: JobId,
    #[command(flatten)]
    output: OutputArgs,
}

impl Why {
    /// Prints the answer.
    ///
    /// # Errors
    /// The coordinator refuses or cannot be reached.
    pub(super) async fn run(self, client: &Client) -> Result<(), Failure> {
        let path = format!("/v1/jobs/{}/why", self.job);
        let reply: Box<RawValue> = client.get(&path, Options::default()).await?;
        output::print_object(self.output.format, &reply, |why: WhyView| text(&why))
    }
}

/// The verdict says already how many jobs go before it.
fn text(why: &WhyView) -> String {
    let mut text = format!(
        "{}: {}\n",
        output::state(why.state),
        output::printable(&why.verdict)
    );
    if !why.agents.is_empty() {
        text.push('\n');
        text.push_str(&output::table(
            &["AGENT", "UNMET"],
            why.agents.iter().flat_map(rows),
        ));
    }
    text
}

/// One row for each reason; one that says so when there is none.
fn rows(agent: &WhyAgent) -> Vec<Vec<String>> {
    let reasons = if agent.unmet.is_empty() {
        vec!["nothing: it could take the job now".to_owned()]
    } else {
        agent.unmet.iter().map(in_words).collect()
    };
    reasons
        .into_iter()
        .map(|reason| vec![agent.agent.to_string(), reason])
        .collect()
}

fn in_words(unmet: &Unmet) -> String {
    match unmet {
        Unmet::Label {
            required,
            found: Some(found),
        } => format!("requires `{required}`, has {} = {found}", required.key),
        Unmet::Label {
            required,
            found: None,
        } => format!("requires `{required}`, has no {}", required.key),
        Unmet::Cpus { required, capacity } => {
            format!("needs {} cpus, has {}", cpus(*required), cpus(*capacity))
        }
        Unmet::Memory { required, capacity } => {
            format!(
                "needs {} of memory, has {}",
                output::size(required.0),
                output::size(capacity.0)
            )
        }
        Unmet::Busy => "busy with other jobs".to_owned(),
        Unmet::Draining => "draining".to_owned(),
    }
}

fn cpus(millis: u32) -> f64 {
    f64::from(millis) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unmet_requirement_of_every_agent_has_its_line() {
        let json = r#"{"state":"queued","verdict":"no agent can run it","lane":"cpu=1000;mem=0","agents":[
            {"agent":"forge-1","id":"01k2b3c4d5e6f7g8h9j0kmnpqr","unmet":[
                {"kind":"label","required":"gpu >= 1","found":null},
                {"kind":"label","required":"os = macos","found":"linux"},
                {"kind":"cpus","required":8500,"capacity":4000},
                {"kind":"memory","required":"2GiB","capacity":"1GiB"},{"kind":"busy"}]},
            {"agent":"forge-2","id":"01k2b3c4d5e6f7g8h9j0kmnpqr","unmet":[]}]}"#;
        let why: WhyView = serde_json::from_str(json).unwrap();
        insta::assert_snapshot!(anstream::adapter::strip_str(&text(&why)).to_string(), @r#"
        queued: no agent can run it

        AGENT    UNMET
        forge-1  requires `gpu >= 1`, has no gpu
        forge-1  requires `os = macos`, has os = linux
        forge-1  needs 8.5 cpus, has 4
        forge-1  needs 2GiB of memory, has 1GiB
        forge-1  busy with other jobs
        forge-2  nothing: it could take the job now
        "#);
    }
}
