//! The vault for async callers: the same operations, run on tokio's blocking threads.
//!
//! A transfer never holds a blocking thread while it waits for the network: bytes are gathered up to a batch, and each
//! batch is one short blocking step. Dropping a future is safe at any point: the step under way ends by itself, and a
//! plain upload leaves nothing while a resumable one keeps what was written.

use std::io::{self, Read};
use std::ops::Range;
use std::panic;
use std::pin::{Pin, pin};

use bytes::Bytes;
use domain::Digest;
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::Vault;
use crate::error::VaultError;
use crate::upload::{Stored, Upload};

/// How many bytes of an upload are gathered before they are written.
const WRITE_BATCH_BYTES: usize = 256 << 10;

/// How many bytes of a download are read at once; also the memory that one download takes.
const READ_CHUNK_BYTES: usize = 256 << 10;

/// What the vault has of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The whole blob, of this many bytes.
    Whole(u64),
    /// The first bytes of an unfinished upload.
    Partial(u64),
    /// Nothing.
    Absent,
}

impl Vault {
    /// Tells what is here of `digest`.
    pub async fn presence(&self, digest: Digest) -> Result<Presence, VaultError> {
        let vault = self.clone();
        blocking(
            move || match (vault.size(digest)?, vault.resume_offset(digest)?) {
                (Some(size), _) => Ok(Presence::Whole(size)),
                (None, 0) => Ok(Presence::Absent),
                (None, offset) => Ok(Presence::Partial(offset)),
            },
        )
        .await
    }

    /// Stores `bytes`, refused when they are not what `announced` says.
    pub async fn put_bytes(&self, bytes: Bytes, announced: Option<Digest>) -> Result<Stored, VaultError> {
        let vault = self.clone();
        blocking(move || {
            let mut upload = vault.begin()?;
            upload.write(&bytes)?;
            upload.finish(announced)
        })
        .await
    }

    /// Stores everything that `content` yields, refused when it is not what `announced` says.
    pub async fn put_stream<S>(&self, content: S, announced: Option<Digest>) -> Result<Stored, VaultError>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let vault = self.clone();
        let upload = blocking(move || vault.begin()).await?;
        let upload = receive(upload, content).await?;
        blocking(move || upload.finish(announced)).await
    }

    /// Stores the rest of `digest` from byte `offset` on. When `content` breaks off, what arrived is kept, and
    /// [`presence`](Self::presence) tells where to go on.
    ///
    /// `offset` is the number of bytes that are stored, or 0 to start over; anything else is [`VaultError::Offset`].
    pub async fn resume_stream<S>(
        &self,
        digest: Digest,
        offset: u64,
        content: S,
    ) -> Result<Stored, VaultError>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let vault = self.clone();
        let upload = blocking(move || {
            let mut upload = vault.begin_resumable(digest)?;
            match upload.offset() {
                stored if stored == offset => {}
                _ if offset == 0 => upload.restart()?,
                stored => return Err(VaultError::Offset { offset, stored }),
            }
            Ok(upload)
        })
        .await?;
        let upload = receive(upload, content).await?;
        blocking(move || upload.finish(Some(digest))).await
    }

    /// Reads the whole blob, verified. One of more than `bytes_max` is [`VaultError::TooLarge`].
    pub async fn read_to_vec(&self, digest: Digest, bytes_max: u64) -> Result<Vec<u8>, VaultError> {
        let vault = self.clone();
        blocking(move || {
            let mut blob = vault.open_blob(digest)?;
            if blob.size() > bytes_max {
                return Err(VaultError::TooLarge { bytes_max });
            }
            let mut content = Vec::new();
            blob.read_to_end(&mut content)
                .map_err(VaultError::at("read", &vault.layout.blob(digest)))?;
            Ok(content)
        })
        .await
    }

    /// Streams the whole blob, verified: of a damaged one the last chunk is [`VaultError::Damaged`].
    pub async fn stream(
        &self,
        digest: Digest,
    ) -> Result<impl Stream<Item = Result<Bytes, VaultError>> + Send + use<>, VaultError> {
        let vault = self.clone();
        let blob = blocking(move || vault.open_blob(digest)).await?;
        Ok(chunks(self.clone(), digest, blob))
    }

    /// Streams a range of the blob, cut at its end. **Not verified**, like [`open_range`](Self::open_range).
    pub async fn stream_range(
        &self,
        digest: Digest,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, VaultError>> + Send + use<>, VaultError> {
        let vault = self.clone();
        let part = blocking(move || vault.open_range(digest, range)).await?;
        Ok(chunks(self.clone(), digest, part))
    }
}

/// Writes `content` into `upload`, batch by batch.
async fn receive<S>(mut upload: Upload, content: S) -> Result<Upload, VaultError>
where
    S: Stream<Item = io::Result<Bytes>>,
{
    let mut content = pin!(content);
    loop {
        let (batch, then) = gather(content.as_mut()).await;
        // Before anything is said about a broken stream: a resumable upload goes on behind what arrived.
        upload = blocking(move || {
            batch.iter().try_for_each(|bytes| upload.write(bytes))?;
            Ok(upload)
        })
        .await?;
        match then {
            Then::More => {}
            Then::End => return Ok(upload),
            Then::Broken(source) => return Err(VaultError::Interrupted { source }),
        }
    }
}

/// What follows a batch.
enum Then {
    More,
    End,
    Broken(io::Error),
}

/// Takes from `content` until a batch is full or nothing more comes.
async fn gather<S>(mut content: Pin<&mut S>) -> (Vec<Bytes>, Then)
where
    S: Stream<Item = io::Result<Bytes>>,
{
    let mut batch = Vec::new();
    let mut gathered = 0;
    while gathered < WRITE_BATCH_BYTES {
        match content.next().await {
            Some(Ok(bytes)) => {
                gathered += bytes.len();
                batch.push(bytes);
            }
            Some(Err(error)) => return (batch, Then::Broken(error)),
            None => return (batch, Then::End),
        }
    }
    (batch, Then::More)
}

/// Reads `source` to its end, one blocking step a chunk.
fn chunks<R>(vault: Vault, digest: Digest, source: R) -> impl Stream<Item = Result<Bytes, VaultError>> + Send
where
    R: Read + Send + 'static,
{
    stream::try_unfold(source, move |mut source| {
        let path = vault.layout.blob(digest);
        blocking(move || {
            let mut chunk = Vec::with_capacity(READ_CHUNK_BYTES);
            let read = source
                .by_ref()
                .take(READ_CHUNK_BYTES as u64)
                .read_to_end(&mut chunk);
            read.map_err(VaultError::at("read", &path))?;
            Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), source)))
        })
    })
}

/// Runs `work` on a blocking thread. A panic in it goes on in the caller.
async fn blocking<T, F>(work: F) -> Result<T, VaultError>
where
    F: FnOnce() -> Result<T, VaultError> + Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(payload) => panic::resume_unwind(payload),
            Err(_stopped) => Err(VaultError::Stopping),
        },
    }
}
