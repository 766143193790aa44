//! Following a job while the user may interrupt.
//!
//! The first interrupt asks to cancel, the second one leaves; meanwhile the job is followed without a pause. A reader
//! of stdout that has gone is an interrupt too: a local command would have got SIGPIPE.

use std::pin::pin;
use std::time::Duration;

use domain::{JobId, Span};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use protocol::client::{Client, Options};
use protocol::jobs::{CancelRequest, JobView};
use serde::de::IgnoredAny;
use tokio::time::Instant;

use crate::command::run::OnInterrupt;
use crate::failure::Failure;
use crate::follow::{self, Outage, Route, Screen};
use crate::output;
use crate::signals::Signals;

/// How long leaving waits for a cancel that is under way.
const CANCEL_TIME: Duration = Duration::from_secs(2);

/// How following came to its end.
pub(super) enum Ending {
    /// The job has ended.
    Ended(Box<JobView>),
    /// The user left; the job goes on.
    Detached,
}

/// What the user wishes for while the job is followed.
pub(super) struct Wishes {
    pub(super) on_interrupt: OnInterrupt,
    /// The first interrupt has come.
    pub(super) interrupted: bool,
    /// How long to wait, and from when on.
    pub(super) wait: Option<Span>,
    pub(super) since: Instant,
}

/// Follows the job until it ends, the user leaves, or the time is up.
///
/// # Errors
/// The time is up, or the job cannot be followed any more.
pub(super) async fn attend(
    client: &Client,
    job: &JobId,
    wishes: &mut Wishes,
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    let mut screen = Screen::of_process(Route::Apart);
    let gone = screen.reader_gone();
    let mut following = pin!(follow::to_the_end(client, job, 1, &mut screen));
    let mut time_is_up = pin!(time_up(wishes.wait, wishes.since));
    let mut cancels = FuturesUnordered::new();
    let mut leave_next = wishes.on_interrupt == OnInterrupt::Detach;
    loop {
        let interrupted = tokio::select! {
            view = &mut following => return Ok(Ending::Ended(Box::new(view?))),
            waited = &mut time_is_up => {
                let why = format!("it has not ended within {waited}");
                return Err(Failure::GaveUp { job: job.clone(), why });
            }
            () = signals.next() => "interrupted",
            () = gone.notified() => "the reader of the output has gone",
            Some(result) = cancels.next(), if !cancels.is_empty() => {
                tell_refused(result);
                continue;
            }
        };
        if leave_next {
            hear_out(&mut cancels).await;
            return Ok(Ending::Detached);
        }
        leave_next = true;
        wishes.interrupted = true;
        output::note(&format!(
            "{interrupted}: cancelling {job}; once more leaves it running"
        ));
        cancels.push(cancel(client, job, interrupted));
    }
}

async fn time_up(wait: Option<Span>, since: Instant) -> Span {
    // What is too far away to be told as a time is never.
    let until = wait.and_then(|wait| Some((wait, since.checked_add(wait.duration())?)));
    match until {
        Some((wait, until)) => {
            tokio::time::sleep_until(until).await;
            wait
        }
        None => std::future::pending().await,
    }
}

/// Asks until a coordinator has heard it; asking again does no harm.
async fn cancel(client: &Client, job: &JobId, reason: &str) -> Result<(), Failure> {
    let path = format!("/v1/jobs/{job}/cancel");
    let request = CancelRequest {
        reason: Some(format!("hiveforge run: {reason}")),
    };
    let mut outage = Outage::none(job);
    loop {
        match client
            .post::<IgnoredAny>(&path, &request, Options::default().repeatable())
            .await
        {
            Ok(_) => return Ok(()),
            Err(error) if error.is_transient() => outage.pause(&error).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Two interrupts in quick succession are a cancel too: the request gets a moment to arrive.
async fn hear_out(cancels: &mut FuturesUnordered<impl Future<Output = Result<(), Failure>>>) {
    match tokio::time::timeout(CANCEL_TIME, cancels.next()).await {
        Ok(None | Some(Ok(()))) => {}
        Ok(Some(result @ Err(_))) => tell_refused(result),
        Err(_) => output::note("no coordinator has heard of the cancel"),
    }
}

/// A refused cancel does not end following: the job may have ended meanwhile, which is what is waited for.
fn tell_refused(result: Result<(), Failure>) {
    if let Err(failure) = result {
        output::note(&format!("cannot cancel: {failure}"));
    }
}
