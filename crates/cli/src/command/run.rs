//! `hiveforge run -- CMD`: a job that feels like a local command.
//!
//! Its options become a spec ([`spec`]), the job is followed under the user's signals ([`attend`]), and its end
//! becomes the exit code. What is known at the end goes into the result file, if one is asked for ([`result`]).

mod attend;
mod result;
mod spec;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use domain::{JobId, JobSpec, Span};
use protocol::client::Client;
use protocol::jobs::{JobView, Submitted};
use tokio::time::Instant;

use crate::cli::Connection;
use crate::command::{Context, submit};
use crate::create::Key;
use crate::exit;
use crate::failure::Failure;
use crate::inputs;
use crate::output;
use crate::signals::Signals;

use self::attend::{Ending, Wishes};

/// How often a job that was lost is submitted again.
const RESUBMITS_MAX: u32 = 3;

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    spec: spec::SpecArgs,
    /// Write how the job ended to this file, as JSON
    #[arg(long, value_name = "FILE")]
    result_file: Option<PathBuf>,
    /// Print the job's id and do not wait
    #[arg(long, conflicts_with_all = ["wait", "on_interrupt", "result_file"])]
    detach: bool,
    /// Give up waiting after so long, e.g. 10m; the job goes on
    #[arg(long, value_name = "DURATION")]
    wait: Option<Span>,
    /// What the first Ctrl-C does; the second one always detaches
    #[arg(long, value_enum, default_value_t = OnInterrupt::Cancel, value_name = "WHAT")]
    on_interrupt: OnInterrupt,
    #[command(flatten)]
    connection: Connection,
}

/// What the first interrupt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnInterrupt {
    /// Cancel the job and go on following
    Cancel,
    /// Let the job go on
    Detach,
}

impl Run {
    /// Runs the job and returns the exit code that tells how it ended.
    ///
    /// # Errors
    /// The job could not be submitted, or could not be followed to its end.
    pub(crate) async fn run(self, ctx: &Context) -> Result<u8, Failure> {
        // Found and checked before anything is sent.
        let files = inputs::collect(&self.spec.inputs)?;
        let mut spec = self.spec.to_spec();
        spec.check().map_err(Failure::SpecOptions)?;
        let client = ctx.connect(&self.connection)?;
        let mut signals = Signals::catch()?;
        let key = Key::fresh();
        let submitting = async {
            spec.inputs = inputs::upload(&client, files).await?;
            spec.check().map_err(Failure::SpecOptions)?;
            post(&client, &spec, &key).await
        };
        let mut job = tokio::select! {
            job = submitting => job?,
            () = signals.next() => return Err(Failure::Interrupted),
        };
        if self.detach {
            output::print(&format!("{job}\n"))?;
            return Ok(0);
        }
        output::note(&format!("job {job} queued"));
        let mut wishes = Wishes {
            on_interrupt: self.on_interrupt,
            interrupted: false,
            wait: self.wait,
            since: Instant::now(),
        };
        let mut ending = attend::attend(&client, &job, &mut wishes, &mut signals).await;
        for _ in 0..RESUBMITS_MAX {
            // What the user wants to end is as good as ended.
            if wishes.interrupted || !ending.as_ref().is_err_and(is_forgotten) {
                break;
            }
            // The key makes it the same job, should it be there after all.
            let again = match post(&client, &spec, &key).await {
                Ok(again) => again,
                Err(failure) => {
                    ending = Err(failure);
                    break;
                }
            };
            let lost = std::mem::replace(&mut job, again);
            output::note(&format!(
                "the coordinators have lost {lost}: submitted again as {job}"
            ));
            ending = attend::attend(&client, &job, &mut wishes, &mut signals).await;
        }
        if let Some(file) = &self.result_file {
            result::write(file, &client, &job, ending.as_ref().ok()).await?;
        }
        Ok(match ending? {
            Ending::Ended(view) => told(&view),
            Ending::Detached => {
                output::note(&format!(
                    "{job} goes on; `hiveforge job logs -f {job}` follows it again"
                ));
                exit::INTERRUPTED
            }
        })
    }
}

/// Whether the job is not known any more: a nexus that was restarted or replaced may have lost what it acknowledged last.
fn is_forgotten(failure: &Failure) -> bool {
    matches!(failure, Failure::Client(error) if error.code() == Some("job_unknown"))
}

async fn post(client: &Client, spec: &JobSpec, key: &Key) -> Result<JobId, Failure> {
    let reply = submit::post(client, spec, key).await?;
    let submitted: Submitted = output::read(&reply)?;
    submitted
        .warnings
        .iter()
        .for_each(|warning| output::warn(warning));
    Ok(submitted.id)
}

/// Says how the job ended, unless it just succeeded, and returns the exit code for it.
fn told(view: &JobView) -> u8 {
    let code = exit::of_job(view).unwrap_or(exit::INFRASTRUCTURE);
    if code != 0 {
        let why = view
            .cause
            .as_ref()
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        output::note(&format!("job {} {}{why}", view.id, view.state));
    }
    code
}
