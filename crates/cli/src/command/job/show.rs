//! `hiveforge job show`: one job and its ended attempts.

use clap::Args;
use domain::{JobId, JobSpec, Timestamp};
use protocol::client::{Client, Options};
use protocol::jobs::{AttemptView, JobView};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::output::{self, OutputArgs};

/// Options of `job show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The job
    job: JobId,
    #[command(flatten)]
    output: OutputArgs,
}

impl Show {
    /// Prints the job.
    ///
    /// # Errors
    /// The coordinator refuses or cannot be reached.
    pub(super) async fn run(self, client: &Client, now: Timestamp) -> Result<(), Failure> {
        let reply: Box<RawValue> = client
            .get(&format!("/v1/jobs/{}", self.job), Options::default())
            .await?;
        output::print_object(self.output.format, &reply, |job: JobView| text(&job, now))
    }
}

fn text(job: &JobView, now: Timestamp) -> String {
    let mut text = format!(
        "{:<13}{}\n{:<13}{}\n",
        "id:",
        job.id,
        "state:",
        output::state(job.state)
    );
    let cancel = job.cancel.as_ref().map(|cancel| {
        let reason = cancel
            .reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        format!("asked by {} {}{reason}", cancel.by, output::ago(cancel.at, now))
    });
    text.push_str(&output::fields([
        ("name", Some(job.name.clone())),
        ("command", job.spec.as_deref().map(command)),
        ("cause", job.cause_text.clone()),
        ("cancel", cancel),
        (
            "submitted",
            Some(format!(
                "{} by {}",
                output::ago(job.submitted_at, now),
                job.principal
            )),
        ),
        ("started", job.started_at.map(|at| output::ago(at, now))),
        ("ended", job.ended_at.map(|at| output::ago(at, now))),
        ("agent", job.agent.as_ref().map(ToString::to_string)),
        (
            "attempts",
            Some(format!(
                "{} ({} of {} charged)",
                job.attempt, job.charged, job.max_attempts
            )),
        ),
        ("priority", (job.priority != 0).then(|| job.priority.to_string())),
        ("group", job.group.as_ref().map(ToString::to_string)),
        ("spec", Some(job.spec_digest.to_string())),
    ]));
    if !job.attempts.is_empty() {
        let header = ["ATTEMPT", "AGENT", "OUTCOME", "RAN", "LOG", "ARTIFACTS", "CAUSE"];
        text.push('\n');
        text.push_str(&output::table(&header, job.attempts.iter().map(row)));
    }
    text
}

fn command(spec: &JobSpec) -> String {
    spec.script.clone().unwrap_or_else(|| spec.command.join(" "))
}

fn row(attempt: &AttemptView) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        attempt.number.to_string(),
        attempt.agent.to_string(),
        attempt.outcome.clone(),
        or_dash(attempt.ran.map(|ran| output::rounded(ran.duration()))),
        or_dash(attempt.log_bytes.map(output::size)),
        attempt.artifacts.to_string(),
        attempt
            .cause
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    ]
}
