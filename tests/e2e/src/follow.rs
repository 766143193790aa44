//! A followed log: server-sent events, each with one piece of what a stream wrote.

use anyhow::{Context as _, Result, bail};
use http_body_util::BodyExt as _;
use protocol::client::{Client, Options};
use protocol::frame::Stream;
use protocol::jobs::LogEvent;

/// Hands over each piece as it comes, until the attempt is over.
///
/// # Errors
/// The stream breaks off before that.
pub(crate) async fn follow(client: &Client, path: &str, mut seen: impl FnMut(Stream, &[u8])) -> Result<()> {
    let response = client
        .stream(path, "text/event-stream", Options::default())
        .await?;
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.context("a log stream broke off")?.into_data() else {
            continue;
        };
        // Events are JSON in ASCII, so they may be cut anywhere.
        text.push_str(std::str::from_utf8(&bytes).context("an event is not text")?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            match line("event: ") {
                Some("end") => return Ok(()),
                Some("frame") => {
                    let data = line("data: ").context("an event has no data")?;
                    let piece: LogEvent = serde_json::from_str(data)?;
                    seen(piece.stream, &piece.data);
                }
                _ => {}
            }
            text = rest.to_owned();
        }
    }
    bail!("the log stream ended before the attempt did")
}
