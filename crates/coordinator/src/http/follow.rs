//! A log as it grows: server-sent events, first what is there, then what comes, without a gap.
//!
//! Each `frame` event's id is the offset after it, so a reader that was cut off goes on with `Last-Event-ID`. An `end`
//! event says that the attempt is over and all was sent. The reader is woken by hints and looks once a second anyway.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use domain::{JobId, State};
use futures_util::{Stream, stream};
use ledger::{LedgerError, LogPiece};
use protocol::frame::Decoder;
use protocol::jobs::LogEvent;

use crate::coordinator::Coordinator;
use crate::http::output::read_piece;
use crate::http::problem::Failed;

/// How late a lost hint can make the reader.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks without news after which a comment keeps the connection from being taken for dead.
const COMMENT_LOOKS: u32 = 15;

/// Answers with the log as events, from `Last-Event-ID` on.
pub(super) fn events(
    coordinator: Arc<Coordinator>,
    job: JobId,
    attempt: u32,
    headers: &HeaderMap,
) -> Result<Response, Failed> {
    let offset = match headers.get("last-event-id") {
        None => 0,
        Some(id) => id.to_str().ok().and_then(|id| id.parse().ok()).ok_or_else(|| {
            Failed::bad_request(
                "bad_event_id",
                "Last-Event-ID is the offset that an event carried as its id",
            )
        })?,
    };
    let reader = Reader {
        coordinator,
        job,
        attempt,
        decoder: Decoder::at(offset),
        received: offset,
        ready: VecDeque::from([Bytes::from_static(b": ok\n\n")]),
        quiet: 0,
        over: false,
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, no-transform"),
        ),
    ];
    Ok((headers, Body::from_stream(reader.events())).into_response())
}

struct Reader {
    coordinator: Arc<Coordinator>,
    job: JobId,
    attempt: u32,
    decoder: Decoder,
    /// How much of the framed log the decoder was given.
    received: u64,
    ready: VecDeque<Bytes>,
    quiet: u32,
    over: bool,
}

impl Reader {
    fn events(self) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
        stream::try_unfold(self, |mut reader| async move {
            loop {
                if let Some(event) = reader.ready.pop_front() {
                    return Ok(Some((event, reader)));
                }
                if reader.over {
                    return Ok(None);
                }
                reader.look().await?;
            }
        })
    }

    /// Reads what is new; if nothing is, waits until something may be.
    async fn look(&mut self) -> std::io::Result<()> {
        // Registered before looking, so that nothing is missed in between.
        let changes = self.coordinator.signals.job(self.job.ulid());
        match self.read().await {
            Ok(ended) if ended && self.ready.is_empty() => {
                self.ready
                    .push_back(Bytes::from_static(b"event: end\ndata: {}\n\n"));
                self.over = true;
            }
            Ok(_) if !self.ready.is_empty() => self.quiet = 0,
            Ok(_) => self.wait(changes).await,
            // The nexus does not answer: the reader stays, for this is an outage and not an end.
            Err(ReadError::Outage) => self.wait(None).await,
            Err(ReadError::Io(error)) => return Err(error),
        }
        Ok(())
    }

    async fn wait(&mut self, changes: Option<tokio::sync::watch::Receiver<u64>>) {
        let closing = self.coordinator.connections.closing();
        let changed = async {
            match changes {
                Some(mut changes) => drop(tokio::time::timeout(LOOK_EVERY, changes.changed()).await),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        tokio::select! {
            () = changed => {}
            // The reader goes on elsewhere.
            () = closing.cancelled() => self.over = true,
        }
        self.quiet += 1;
        if self.quiet.is_multiple_of(COMMENT_LOOKS) {
            self.ready.push_back(Bytes::from_static(b": still here\n\n"));
        }
    }

    /// Decodes what is stored beyond what was received. Says whether the attempt is over; that is looked at first, so
    /// an attempt that is over has all of its log in what is read after.
    async fn read(&mut self) -> Result<bool, ReadError> {
        let stored = self.coordinator.ledger.load(&self.job).await?;
        let live = stored.is_some_and(|stored| {
            matches!(stored.job().state, State::Running(_)) && stored.job().attempt == self.attempt
        });
        let mut position = 0;
        for piece in self
            .coordinator
            .ledger
            .log_pieces(&self.job, self.attempt)
            .await?
        {
            let end = position
                + match &piece {
                    LogPiece::Segment(segment) => segment.bytes,
                    LogPiece::Bytes(bytes) => bytes.len() as u64,
                };
            if end > self.received {
                let bytes = read_piece(&self.coordinator, piece).await?;
                let skip = usize::try_from(self.received - position).unwrap_or(bytes.len());
                self.decoder.push(bytes.get(skip..).unwrap_or_default());
                self.received = end;
            }
            position = end;
        }
        while let Some(frame) = self.decoder.next_frame().map_err(std::io::Error::other)? {
            let event = LogEvent {
                stream: frame.stream,
                at: frame.at,
                data: frame.data,
            };
            let data = serde_json::to_string(&event).map_err(std::io::Error::other)?;
            let id = self.decoder.offset();
            self.ready
                .push_back(format!("id: {id}\nevent: frame\ndata: {data}\n\n").into());
        }
        Ok(!live)
    }
}

/// Why nothing could be read now.
enum ReadError {
    /// The nexus does not answer.
    Outage,
    /// The log itself cannot be read.
    Io(std::io::Error),
}

impl From<LedgerError> for ReadError {
    fn from(error: LedgerError) -> Self {
        tracing::debug!(%error, "a followed log waits");
        Self::Outage
    }
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
