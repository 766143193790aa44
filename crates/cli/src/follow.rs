//! Following a job to its end: its state, and the log of each of its attempts in turn.
//!
//! The state is watched with a parked request ([`watch`]), the log of one attempt is read as a stream that resumes
//! where it broke off ([`log`]). Both outlive a coordinator that goes away for a while ([`outage`]). Dropping the
//! future ends following at once and changes nothing about the job.

mod log;
mod outage;
mod screen;
mod sse;
mod watch;

use std::time::Duration;

use domain::JobId;
use domain::job::StateName;
use indicatif::ProgressBar;
use protocol::client::Client;
use protocol::jobs::{AttemptView, JobView};

pub(crate) use self::log::attempt_log;
pub(crate) use self::outage::Outage;
pub(crate) use self::screen::{Route, Screen};
use self::watch::Watch;
use crate::failure::Failure;
use crate::output;

/// How often the spinner turns.
const SPINNER_TICK: Duration = Duration::from_millis(120);
/// The outcome of an attempt that its agent returned before it started anything; nobody needs to hear of it.
const GIVEN_BACK: &str = "given_back";

/// Follows a job until it has ended, beginning with the log of attempt `first`, and returns its last view.
///
/// # Errors
/// The coordinator refuses, is gone for longer than an outage may last, or the screen cannot be written.
pub(crate) async fn to_the_end(
    client: &Client,
    job: &JobId,
    first: u32,
    screen: &mut Screen,
) -> Result<JobView, Failure> {
    let mut watch = Watch::new(client, job);
    let mut next = first;
    let mut told = first.saturating_sub(1);
    let mut queued = true;
    loop {
        let view = {
            let _spinner = queued.then(|| Spinner::start(job));
            watch.changed().await?
        };
        queued = view.state == StateName::Queued;
        tell_lost_attempts(&view, &mut told, next);
        while next <= view.attempt {
            attempt_log(client, job, next, screen).await?;
            next += 1;
            tell_lost_attempts(&view, &mut told, next);
        }
        if view.state.is_terminal() {
            return Ok(view);
        }
    }
}

/// Says of each attempt before `next` that it ended without ending the job.
fn tell_lost_attempts(view: &JobView, told: &mut u32, next: u32) {
    let decided_by = if view.state.is_terminal() {
        view.attempt
    } else {
        u32::MAX
    };
    let lost: Vec<&AttemptView> = view
        .attempts
        .iter()
        .filter(|attempt| attempt.number > *told && attempt.number < next.min(decided_by))
        .collect();
    for attempt in lost {
        *told = attempt.number;
        if attempt.outcome != GIVEN_BACK {
            let AttemptView { number, agent, .. } = attempt;
            let why = attempt
                .cause
                .as_ref()
                .map_or_else(|| attempt.outcome.clone(), ToString::to_string);
            output::note(&format!("attempt {number} on {agent} did not end the job: {why}"));
        }
    }
}

/// A sign of life on a terminal while the job waits; nothing elsewhere.
struct Spinner(ProgressBar);

impl Spinner {
    fn start(job: &JobId) -> Self {
        let bar = ProgressBar::new_spinner().with_message(format!("{job} is queued"));
        bar.enable_steady_tick(SPINNER_TICK);
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
