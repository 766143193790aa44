//! The log of one attempt, from its beginning to its end, whatever happens to the connection.
//!
//! Each event's id is the offset in the framed log after it. The offset moves only when an event has been written, and a
//! broken stream is resumed with it as `Last-Event-ID`: so no byte is written twice and none is missing. An event that
//! was written already is skipped, should a coordinator send it again.

use std::time::Duration;

use domain::JobId;
use protocol::client::{Client, ClientError, Options};
use protocol::jobs::LogEvent;

use crate::failure::Failure;
use crate::follow::outage::Outage;
use crate::follow::screen::Screen;
use crate::follow::sse::{Event, Reader};
use crate::output;

/// How long a stream may be silent, keep-alives included, before it counts as broken.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Writes the log of attempt `number` to the screen until the attempt is over.
///
/// # Errors
/// The coordinator refuses, is gone for longer than an outage may last, or the screen cannot be written.
pub(crate) async fn attempt_log(
    client: &Client,
    job: &JobId,
    number: u32,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let path = format!("/v1/jobs/{job}/attempts/{number}/log");
    let mut outage = Outage::none(job);
    let mut offset = 0;
    loop {
        let before = offset;
        let broken = match stream(client, &path, &mut offset, &mut outage, screen).await {
            Ok(()) => return Ok(()),
            Err(Failure::Client(ClientError::Problem(problem)))
                if problem.status == 404 && problem.code != "job_unknown" =>
            {
                output::note(&format!("attempt {number} has no log: {}", problem.detail));
                return Ok(());
            }
            Err(Failure::Client(error)) if error.is_transient() => error,
            Err(failure) => return Err(failure),
        };
        if offset > before {
            outage.over();
        }
        outage.pause(&broken).await?;
    }
}

/// One stream from `offset` on; ends well only when the attempt is over.
async fn stream(
    client: &Client,
    path: &str,
    offset: &mut u64,
    outage: &mut Outage<'_>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let mut options = Options::default();
    if *offset > 0 {
        options = options.header("last-event-id", &offset.to_string());
    }
    let mut reply = client.stream(path, "text/event-stream", options).await?;
    outage.answered();
    let mut reader = Reader::default();
    loop {
        let Some(bytes) = reply.piece(SILENCE_MAX).await? else {
            return Err(Failure::Client(ClientError::Unreachable {
                url: client.url(),
                why: "the log stream ended early".to_owned(),
            }));
        };
        let events = reader
            .push(&bytes)
            .map_err(|_| bad("an event of the log is too long"))?;
        for event in events {
            match event.kind.as_str() {
                "frame" => write(&event, offset, screen)?,
                "end" => return Ok(()),
                _ => {}
            }
        }
    }
}

fn write(event: &Event, offset: &mut u64, screen: &mut Screen) -> Result<(), Failure> {
    let id = event.id.as_deref().and_then(|id| id.parse::<u64>().ok());
    let after = id.ok_or_else(|| bad("an event of the log has no offset as its id"))?;
    if after <= *offset {
        return Ok(());
    }
    let frame: LogEvent = serde_json::from_str(&event.data).map_err(|error| bad(&error.to_string()))?;
    screen.write(frame.stream, &frame.data)?;
    *offset = after;
    Ok(())
}

fn bad(why: &str) -> Failure {
    Failure::Client(ClientError::BadReply(why.to_owned()))
}
