//! `--result-file`: how the job ended, for programs that must not take our failure for the job's.

use std::path::Path;

use domain::job::StateName;
use domain::{Cause, JobId};
use protocol::client::{Client, Options};
use protocol::jobs::JobView;
use serde::Serialize;

use crate::command::run::attend::Ending;
use crate::failure::Failure;

/// What the file holds. `docs/cli.md` promises these fields.
#[derive(Debug, Serialize)]
struct JobResult<'a> {
    id: &'a JobId,
    state: Option<StateName>,
    attempt: Option<u32>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    cause: Option<&'a Cause>,
    cause_text: Option<String>,
}

/// Writes the file. A job that was left is asked for once more; without an answer its state is null.
///
/// # Errors
/// The file cannot be written.
pub(super) async fn write(
    file: &Path,
    client: &Client,
    job: &JobId,
    ending: Option<&Ending>,
) -> Result<(), Failure> {
    let asked: Option<JobView>;
    let view = match ending {
        Some(Ending::Ended(view)) => Some(view.as_ref()),
        Some(Ending::Detached) | None => {
            asked = client
                .get(&format!("/v1/jobs/{job}"), Options::default())
                .await
                .ok();
            asked.as_ref()
        }
    };
    let mut text = serde_json::to_string(&of_view(job, view)).expect("every field is text or a number");
    text.push('\n');
    std::fs::write(file, text).map_err(|why| Failure::file("write", file, why))
}

fn of_view<'a>(job: &'a JobId, view: Option<&'a JobView>) -> JobResult<'a> {
    let cause = view.and_then(|view| view.cause.as_ref());
    let state = view.map(|view| view.state);
    let (exit_code, signal) = match (state, cause) {
        (Some(StateName::Succeeded), _) => (Some(0), None),
        (_, Some(Cause::Exit { code })) => (Some(*code), None),
        (_, Some(Cause::Signal { signal })) => (None, Some(*signal)),
        (_, _) => (None, None),
    };
    JobResult {
        id: job,
        state,
        attempt: view.map(|view| view.attempt),
        exit_code,
        signal,
        cause,
        cause_text: cause.map(ToString::to_string),
    }
}
