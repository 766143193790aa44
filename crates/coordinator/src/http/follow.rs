//! A log as it grows: server-sent events, first what is there, then what comes, without a gap.
//!
//! Each `frame` event's id is the offset after it, so a reader that was cut off goes on with `Last-Event-ID`. An `end`
//! event says that the attempt is over and all was sent. The reader is woken by hints and looks once a second anyway.

use std::collections::VecDeque;
use std::ops::Range;
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

/// Bytes of events that are formatted ahead of what was sent, but for the last event.
const READY_BYTES_MAX: usize = 1 << 20;
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
        backlog: Backlog {
            decoder: Decoder::at(offset),
            received: offset,
            ready: VecDeque::from([Bytes::from_static(b": ok\n\n")]),
        },
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
    backlog: Backlog,
    quiet: u32,
    over: bool,
}

/// What was read and not sent yet: at most one piece of the log, and [`READY_BYTES_MAX`] of events made of it.
struct Backlog {
    decoder: Decoder,
    /// How much of the framed log the decoder was given.
    received: u64,
    ready: VecDeque<Bytes>,
}

impl Reader {
    fn events(self) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
        stream::try_unfold(self, |mut reader| async move {
            loop {
                if let Some(event) = reader.backlog.ready.pop_front() {
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
        if self.coordinator.connections.closing().is_cancelled() {
            // A reader that is always behind never waits, and goes on elsewhere all the same.
            self.over = true;
            return Ok(());
        }
        // Registered before looking, so that nothing is missed in between.
        let changes = self.coordinator.signals.job(self.job.ulid());
        match self.read().await {
            Ok(ended) if ended && self.backlog.ready.is_empty() => {
                self.backlog
                    .ready
                    .push_back(Bytes::from_static(b"event: end\ndata: {}\n\n"));
                self.over = true;
            }
            Ok(_) if !self.backlog.ready.is_empty() => self.quiet = 0,
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
            self.backlog
                .ready
                .push_back(Bytes::from_static(b": still here\n\n"));
        }
    }

    /// Makes events of what is stored beyond what was received, piece by piece until enough are ready. Says whether the
    /// attempt is over; that is looked at first, so an attempt that is over and of which nothing is ready was sent whole.
    async fn read(&mut self) -> Result<bool, ReadError> {
        if self.backlog.format()? {
            return Ok(false);
        }
        let stored = self.coordinator.ledger.load(&self.job).await?;
        let live = stored.is_some_and(|stored| {
            matches!(stored.job().state, State::Running(_)) && stored.job().attempt == self.attempt
        });
        let pieces = self
            .coordinator
            .ledger
            .log_pieces(&self.job, self.attempt)
            .await?;
        let mut position = 0;
        for piece in pieces {
            let begin = position;
            position += match &piece {
                LogPiece::Segment(segment) => segment.bytes,
                LogPiece::Bytes(bytes) => bytes.len() as u64,
            };
            if position > self.backlog.received {
                let bytes = read_piece(&self.coordinator, piece).await?;
                self.backlog.receive(begin..position, &bytes);
                if self.backlog.format()? {
                    break;
                }
            }
        }
        Ok(!live)
    }
}

impl Backlog {
    /// Takes what is new of a piece and where it is in the log. All before it was received.
    fn receive(&mut self, piece: Range<u64>, bytes: &[u8]) {
        let known = usize::try_from(self.received - piece.start).unwrap_or(bytes.len());
        self.decoder.push(bytes.get(known..).unwrap_or_default());
        self.received = piece.end;
    }

    /// Makes events of whole frames until enough are ready. Says whether that is so; there may be more frames then.
    fn format(&mut self) -> std::io::Result<bool> {
        let mut bytes: usize = self.ready.iter().map(Bytes::len).sum();
        while bytes < READY_BYTES_MAX {
            let Some(frame) = self.decoder.next_frame().map_err(std::io::Error::other)? else {
                return Ok(false);
            };
            let event = LogEvent {
                stream: frame.stream,
                at: frame.at,
                data: frame.data,
            };
            let data = serde_json::to_string(&event).map_err(std::io::Error::other)?;
            let id = self.decoder.offset();
            let text = Bytes::from(format!("id: {id}\nevent: frame\ndata: {data}\n\n"));
            bytes += text.len();
            self.ready.push_back(text);
        }
        Ok(true)
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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use domain::Timestamp;
    use protocol::frame::{self, FRAME_DATA_BYTES_MAX, Stream as LogStream};

    use super::*;

    #[test]
    fn a_long_piece_is_made_into_events_a_part_at_a_time_and_each_frame_once() {
        let mut log = BytesMut::new();
        for _ in 0..100 {
            frame::encode(
                &mut log,
                LogStream::Stdout,
                Timestamp(7),
                &[b'x'; FRAME_DATA_BYTES_MAX],
            );
        }
        let mut backlog = Backlog {
            decoder: Decoder::default(),
            received: 0,
            ready: VecDeque::new(),
        };
        backlog.receive(0..log.len() as u64, &log);
        let event_bytes_max = 2 * FRAME_DATA_BYTES_MAX;
        let (mut events, mut parts) = (0, 0);
        while backlog.format().unwrap() {
            let ready: usize = backlog.ready.iter().map(Bytes::len).sum();
            assert!(
                (READY_BYTES_MAX..READY_BYTES_MAX + event_bytes_max).contains(&ready),
                "{ready}"
            );
            events += backlog.ready.drain(..).count();
            parts += 1;
        }
        assert!(parts > 1);
        assert_eq!(events + backlog.ready.len(), 100);
        assert_eq!(backlog.decoder.offset(), log.len() as u64);
    }
}
