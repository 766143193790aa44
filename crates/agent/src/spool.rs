//! The framed log of one run, until the coordinator has all of it.
//!
//! A log stays in memory as long as it is small enough to travel inside the finish; only then does it become a file. So
//! a tiny job touches no disk for its log. The spool belongs to the run and not to an actor: whoever drains output puts
//! it here within one call, and a successor goes on behind it. Dropping the spool removes its file.
//!
//! A disk may stand still for as long as it likes. So there are two locks: whoever changes the log takes a turn at it,
//! which lasts as long as the disk does, and what is known of the log stands in books that are never held across a file.
//! Only what says that it waits for the disk does, and is called on threads on which nobody else waits; all else may be
//! called by anybody, under any lock.
//!
//! It does not know the network; `ship` does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use bytes::{Bytes, BytesMut};
use domain::{ByteSize, Digest, Timestamp};
use protocol::frame::{Stream, encode};
use protocol::limits::INLINE_LOG_BYTES_MAX;
use sha2::{Digest as _, Sha256};

/// The log of one run.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    /// Most bytes of output that are kept.
    limit: u64,
    /// Held by whoever changes the log, across the writing of its file. Taken before `books`.
    turn: Mutex<()>,
    /// Drained into by one actor and shipped from by another, neither of which may lose it by dying; read under the
    /// lock of the run table. Held for a few assignments or a copy in memory, never across a file.
    books: Mutex<Books>,
}

/// The right to change a log.
pub(crate) struct Turn<'a> {
    patience: Patience,
    _held: MutexGuard<'a, ()>,
}

#[derive(Debug)]
struct Books {
    store: Store,
    /// Framed bytes, all of them.
    len: u64,
    /// Bytes of output that were kept.
    kept: u64,
    /// Bytes of output that were not kept because of the limit.
    dropped: u64,
    digest: Sha256,
    shipped: Shipped,
    /// Nothing can be written any more: what comes is dropped.
    refusing: bool,
    closed: bool,
}

#[derive(Debug)]
enum Store {
    Memory(BytesMut),
    /// Shared with whoever reads it just now.
    File(Arc<File>),
}

/// How much of the log the coordinator has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shipped {
    /// Nothing was ever sent, so all of it may still travel with the finish.
    Nothing,
    /// At least so many bytes; a request under way may have added to it.
    UpTo(u64),
}

/// Whether the caller can wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// As long as it takes.
    Endless,
    /// Not at all: what needs the disk fails with [`io::ErrorKind::WouldBlock`].
    None,
}

impl Spool {
    /// An empty log that may use this path once it is large.
    pub fn new(path: PathBuf, limit: ByteSize) -> Self {
        let books = Books {
            store: Store::Memory(BytesMut::new()),
            len: 0,
            kept: 0,
            dropped: 0,
            digest: Sha256::new(),
            shipped: Shipped::Nothing,
            refusing: false,
            closed: false,
        };
        Self {
            path,
            limit: limit.0,
            turn: Mutex::new(()),
            books: Mutex::new(books),
        }
    }

    /// Takes a piece of output; what is over the limit is counted and dropped. Waits for the disk.
    ///
    /// # Errors
    /// The file cannot be written. Then nothing of the piece was taken.
    pub fn append(&self, stream: Stream, at: Timestamp, data: &[u8]) -> io::Result<()> {
        self.keep(&self.take_turn(), stream, at, data)
    }

    /// Does what [`Spool::append`] does, without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: the disk is needed. Nothing of the piece was taken.
    pub fn try_append(&self, stream: Stream, at: Timestamp, data: &[u8]) -> io::Result<()> {
        self.keep(&self.try_turn()?, stream, at, data)
    }

    /// Ends the log. If some of the output was dropped, one last frame says so. Ending it again changes nothing. Waits
    /// for the disk.
    pub fn close(&self, at: Timestamp) {
        // On a full disk the note is what is missing least.
        if let Err(error) = self.end(&self.take_turn(), at) {
            tracing::warn!(%error, "cannot note in a log that its limit was reached");
        }
    }

    /// Does what [`Spool::close`] does, without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: the disk is needed. The log has not ended.
    pub fn try_close(&self, at: Timestamp) -> io::Result<()> {
        self.end(&self.try_turn()?, at)
    }

    /// Drops what is still to come: the disk is full, and the run is over.
    pub fn refuse_more(&self) {
        let mut books = self.books();
        books.refusing = true;
        books.dropped = 0;
    }

    /// Framed bytes.
    pub fn len(&self) -> u64 {
        self.books().len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The digest of the framed log as it is now.
    pub fn digest(&self) -> Digest {
        let digest = self.books().digest.clone();
        Digest::from_bytes(digest.finalize().into())
    }

    /// The whole log, if it is small and nothing was ever sent of it.
    pub fn inline(&self) -> Option<Bytes> {
        let books = self.books();
        match (&books.store, books.shipped) {
            (Store::Memory(bytes), Shipped::Nothing) => Some(Bytes::copy_from_slice(bytes)),
            _ => None,
        }
    }

    /// Framed bytes that the coordinator does not have yet, as far as is known.
    pub fn backlog(&self) -> u64 {
        let books = self.books();
        books.len - books.offset()
    }

    /// Whether the coordinator has all of it, or can get it with the finish.
    pub fn is_delivered_by_finish(&self) -> bool {
        let books = self.books();
        books.is_inline() || books.offset() == books.len
    }

    /// Whether the log has ended.
    pub fn is_closed(&self) -> bool {
        self.books().closed
    }

    /// The next chunk to send and its offset. From now on the log cannot travel with the finish any more; so there is
    /// none when the log has ended and can. Waits for the disk.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_chunk(&self, bytes_max: usize) -> io::Result<Option<(u64, Bytes)>> {
        self.read(Patience::Endless, bytes_max)
    }

    /// Does what [`Spool::next_chunk`] does, without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: the disk is needed.
    pub fn try_next_chunk(&self, bytes_max: usize) -> io::Result<Option<(u64, Bytes)>> {
        self.read(Patience::None, bytes_max)
    }

    /// Notes how much the coordinator says it has. It may be less than before, when it lost some of it.
    pub fn stored(&self, stored: u64) {
        let mut books = self.books();
        books.shipped = Shipped::UpTo(stored.min(books.len));
    }

    /// Throws the log away, with its file, and drops what is still to come: the run is over for good. Waits for the
    /// disk.
    pub fn discard(&self) {
        let _turn = self.take_turn();
        let store = {
            let mut books = self.books();
            books.closed = true;
            books.refusing = true;
            books.len = 0;
            books.shipped = Shipped::UpTo(0);
            std::mem::replace(&mut books.store, Store::Memory(BytesMut::new()))
        };
        if let Store::File(_) = store {
            self.remove_file();
        }
    }

    fn keep(&self, turn: &Turn<'_>, stream: Stream, at: Timestamp, data: &[u8]) -> io::Result<()> {
        let room = {
            let books = self.books();
            if books.refusing {
                return Ok(());
            }
            usize::try_from(self.limit - books.kept).unwrap_or(usize::MAX)
        };
        let (kept, dropped) = data.split_at(room.min(data.len()));
        if !kept.is_empty() {
            self.write(turn, stream, at, kept)?;
        }
        let mut books = self.books();
        books.kept += kept.len() as u64;
        books.dropped += dropped.len() as u64;
        Ok(())
    }

    fn end(&self, turn: &Turn<'_>, at: Timestamp) -> io::Result<()> {
        let (closed, dropped) = {
            let books = self.books();
            (books.closed, books.dropped)
        };
        let mut noted = Ok(());
        if !closed && dropped > 0 {
            let limit = ByteSize(self.limit);
            let note = format!("log limit of {limit} reached: {dropped} more bytes were dropped\n");
            noted = self.write(turn, Stream::Agent, at, note.as_bytes());
        }
        if turn.patience == Patience::Endless || noted.is_ok() {
            self.books().closed = true;
        }
        noted
    }

    /// Either all of `data` is in the log afterwards or, with an error, none of it.
    fn write(&self, turn: &Turn<'_>, stream: Stream, at: Timestamp, data: &[u8]) -> io::Result<()> {
        let mut frames = BytesMut::new();
        encode(&mut frames, stream, at, data);
        let (file, small, offset, mut digest) = {
            let mut books = self.books();
            match &mut books.store {
                Store::Memory(bytes) if bytes.len() + frames.len() <= INLINE_LOG_BYTES_MAX => {
                    bytes.extend_from_slice(&frames);
                    books.digest.update(&frames);
                    books.len += frames.len() as u64;
                    return Ok(());
                }
                Store::Memory(_) | Store::File(_) if turn.patience == Patience::None => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Store::Memory(bytes) => (None, bytes.clone(), books.len, books.digest.clone()),
                Store::File(file) => {
                    let file = Arc::clone(file);
                    (Some(file), BytesMut::new(), books.len, books.digest.clone())
                }
            }
        };
        // Nobody else changes the log meanwhile: that is what the turn is for.
        let file = match file {
            Some(file) => file,
            None => self.become_file(&small)?,
        };
        file.write_all_at(&frames, offset)?;
        digest.update(&frames);
        let mut books = self.books();
        books.digest = digest;
        books.len += frames.len() as u64;
        Ok(())
    }

    /// Moves the log from memory to its file.
    fn become_file(&self, bytes: &[u8]) -> io::Result<Arc<File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = Arc::new(options.mode(0o600).open(&self.path)?);
        if let Err(error) = file.write_all_at(bytes, 0) {
            self.remove_file();
            return Err(error);
        }
        self.books().store = Store::File(Arc::clone(&file));
        Ok(file)
    }

    fn read(&self, patience: Patience, bytes_max: usize) -> io::Result<Option<(u64, Bytes)>> {
        let (file, offset, len) = {
            let mut books = self.books();
            let offset = books.offset();
            let left = usize::try_from(books.len - offset).unwrap_or(usize::MAX);
            if left == 0 || (books.closed && books.is_inline()) {
                return Ok(None);
            }
            let len = left.min(bytes_max);
            let file = match &books.store {
                Store::Memory(bytes) => {
                    let start = usize::try_from(offset).expect("a log in memory is small");
                    let chunk = Bytes::copy_from_slice(&bytes[start..start + len]);
                    books.shipped = Shipped::UpTo(offset);
                    return Ok(Some((offset, chunk)));
                }
                Store::File(_) if patience == Patience::None => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Store::File(file) => Arc::clone(file),
            };
            books.shipped = Shipped::UpTo(offset);
            (file, offset, len)
        };
        let mut chunk = BytesMut::zeroed(len);
        file.read_exact_at(&mut chunk, offset)?;
        Ok(Some((offset, chunk.freeze())))
    }

    fn remove_file(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a spool file");
        }
    }

    pub(crate) fn take_turn(&self) -> Turn<'_> {
        Turn {
            patience: Patience::Endless,
            _held: self.turn.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn try_turn(&self) -> io::Result<Turn<'_>> {
        let held = match self.turn.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
        };
        Ok(Turn {
            patience: Patience::None,
            _held: held,
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// Whether all of it may travel with the finish.
    const fn is_inline(&self) -> bool {
        matches!((&self.store, self.shipped), (Store::Memory(_), Shipped::Nothing))
    }

    const fn offset(&self) -> u64 {
        match self.shipped {
            Shipped::Nothing => 0,
            Shipped::UpTo(offset) => offset,
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if matches!(self.books().store, Store::File(_)) {
            self.remove_file();
        }
    }
}

#[cfg(test)]
mod tests;
