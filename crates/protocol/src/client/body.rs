//! Request bodies: bytes that are there already, or chunks that arrive while they are sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// Chunks that may wait to be sent.
const CHUNKS_MAX: usize = 4;

/// A request body.
pub struct Upload {
    ready: Option<Bytes>,
    more: Option<mpsc::Receiver<std::io::Result<Bytes>>>,
    left: u64,
}

impl Upload {
    /// No body.
    pub const fn empty() -> Self {
        Self {
            ready: None,
            more: None,
            left: 0,
        }
    }

    /// These bytes.
    pub fn bytes(bytes: Bytes) -> Self {
        let left = bytes.len() as u64;
        Self {
            ready: Some(bytes).filter(|bytes| !bytes.is_empty()),
            more: None,
            left,
        }
    }

    /// `length` bytes in chunks: send them to the channel, an error to break off. Closing the channel early breaks
    /// off too, because the length is announced.
    pub fn chunks(length: u64) -> (mpsc::Sender<std::io::Result<Bytes>>, Self) {
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        (
            sender,
            Self {
                ready: None,
                more: Some(receiver),
                left: length,
            },
        )
    }
}

impl Upload {
    /// The same body once more, if it is all there.
    pub(super) fn again(&self) -> Option<Self> {
        self.more.is_none().then(|| Self {
            ready: self.ready.clone(),
            more: None,
            left: self.left,
        })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let next = match (self.ready.take(), self.more.as_mut()) {
            (Some(bytes), _) => Some(Ok(bytes)),
            (None, Some(chunks)) => match chunks.poll_recv(cx) {
                Poll::Ready(next) => next,
                Poll::Pending => return Poll::Pending,
            },
            (None, None) => None,
        };
        Poll::Ready(match next {
            Some(Ok(bytes)) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Some(Ok(Frame::data(bytes)))
            }
            Some(Err(error)) => Some(Err(error)),
            None if self.left > 0 => {
                self.left = 0;
                Some(Err(std::io::ErrorKind::UnexpectedEof.into()))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_none() && self.left == 0 && self.more.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
