//! The framed log of one run, until the coordinator has all of it.
//!
//! A log stays in memory as long as it is small enough to travel inside the finish; only then does it become a file. So
//! a tiny job touches no disk for its log. The spool belongs to the run and not to an actor: whoever drains output puts
//! it here within one call, and a successor goes on behind it. Dropping the spool removes its file.
//!
//! It does not know the network; `ship` does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// Drained into by one actor and shipped from by another, neither of which may lose it by dying. Held for one
    /// piece of output, or for reading one chunk.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
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
    File(File),
}

/// How much of the log the coordinator has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shipped {
    /// Nothing was ever sent, so all of it may still travel with the finish.
    Nothing,
    /// At least so many bytes; a request under way may have added to it.
    UpTo(u64),
}

impl Spool {
    /// An empty log that may use this path once it is large.
    pub fn new(path: PathBuf, limit: ByteSize) -> Self {
        let state = State {
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
            state: Mutex::new(state),
        }
    }

    /// Takes a piece of output; what is over the limit is counted and dropped.
    ///
    /// # Errors
    /// The file cannot be written. Then nothing of the piece was taken.
    pub fn append(&self, stream: Stream, at: Timestamp, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if state.refusing {
            return Ok(());
        }
        let room = usize::try_from(self.limit - state.kept).unwrap_or(usize::MAX);
        let (kept, dropped) = data.split_at(room.min(data.len()));
        if !kept.is_empty() {
            state.write(&self.path, stream, at, kept)?;
            state.kept += kept.len() as u64;
        }
        state.dropped += dropped.len() as u64;
        Ok(())
    }

    /// Ends the log. If some of the output was dropped, one last frame says so. Ending it again changes nothing.
    pub fn close(&self, at: Timestamp) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.closed = true;
        if state.dropped > 0 {
            let (limit, dropped) = (ByteSize(self.limit), state.dropped);
            let note = format!("log limit of {limit} reached: {dropped} more bytes were dropped\n");
            // On a full disk the note is what is missing least.
            let written = state.write(&self.path, Stream::Agent, at, note.as_bytes());
            if let Err(error) = written {
                tracing::warn!(%error, "cannot note in a log that its limit was reached");
            }
        }
    }

    /// Drops what is still to come: the disk is full, and the run is over.
    pub fn refuse_more(&self) {
        let mut state = self.lock();
        state.refusing = true;
        state.dropped = 0;
    }

    /// Framed bytes.
    pub fn len(&self) -> u64 {
        self.lock().len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The digest of the framed log as it is now.
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(self.lock().digest.clone().finalize().into())
    }

    /// The whole log, if it is small and nothing was ever sent of it.
    pub fn inline(&self) -> Option<Bytes> {
        let state = self.lock();
        match (&state.store, state.shipped) {
            (Store::Memory(bytes), Shipped::Nothing) => Some(Bytes::copy_from_slice(bytes)),
            _ => None,
        }
    }

    /// Framed bytes that the coordinator does not have yet, as far as is known.
    pub fn backlog(&self) -> u64 {
        let state = self.lock();
        state.len - state.offset()
    }

    /// Whether the coordinator has all of it, or can get it with the finish.
    pub fn is_delivered_by_finish(&self) -> bool {
        let state = self.lock();
        state.is_inline() || state.offset() == state.len
    }

    /// Whether the log has ended.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The next chunk to send and its offset. From now on the log cannot travel with the finish any more; so there is
    /// none when the log has ended and can.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_chunk(&self, bytes_max: usize) -> io::Result<Option<(u64, Bytes)>> {
        let mut state = self.lock();
        let offset = state.offset();
        let left = usize::try_from(state.len - offset).unwrap_or(usize::MAX);
        if left == 0 || (state.closed && state.is_inline()) {
            return Ok(None);
        }
        let mut chunk = BytesMut::zeroed(left.min(bytes_max));
        match &state.store {
            Store::Memory(bytes) => {
                let start = usize::try_from(offset).expect("a log in memory is small");
                let end = start + chunk.len();
                chunk.copy_from_slice(&bytes[start..end]);
            }
            Store::File(file) => file.read_exact_at(&mut chunk, offset)?,
        }
        state.shipped = Shipped::UpTo(offset);
        Ok(Some((offset, chunk.freeze())))
    }

    /// Notes how much the coordinator says it has. It may be less than before, when it lost some of it.
    pub fn stored(&self, stored: u64) {
        let mut state = self.lock();
        state.shipped = Shipped::UpTo(stored.min(state.len));
    }

    /// Throws the log away, with its file: the run is over for good.
    pub fn discard(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.len = 0;
        state.shipped = Shipped::UpTo(0);
        state.remove_file(&self.path);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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

    fn remove_file(&mut self, path: &Path) {
        if let Store::File(_) = std::mem::replace(&mut self.store, Store::Memory(BytesMut::new()))
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a spool file");
        }
    }

    /// Either all of `data` is in the log afterwards or, with an error, none of it.
    fn write(&mut self, path: &Path, stream: Stream, at: Timestamp, data: &[u8]) -> io::Result<()> {
        let mut frames = BytesMut::new();
        encode(&mut frames, stream, at, data);
        let too_long = |kept: &BytesMut| kept.len() + frames.len() > INLINE_LOG_BYTES_MAX;
        if let Store::Memory(bytes) = &self.store
            && too_long(bytes)
        {
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?;
            file.write_all_at(bytes, 0)?;
            self.store = Store::File(file);
        }
        match &mut self.store {
            Store::Memory(bytes) => bytes.extend_from_slice(&frames),
            Store::File(file) => file.write_all_at(&frames, self.len)?,
        }
        self.digest.update(&frames);
        self.len += frames.len() as u64;
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.state
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use protocol::frame::Decoder;
    use tempfile::TempDir;

    use super::*;

    const AT: Timestamp = Timestamp(7);

    fn spool(dir: &TempDir, limit: u64) -> Spool {
        Spool::new(dir.path().join("log"), ByteSize(limit))
    }

    fn read_all(spool: &Spool) -> Vec<u8> {
        let mut log = Vec::new();
        while let Some((offset, chunk)) = spool.next_chunk(1000).unwrap() {
            log.extend_from_slice(&chunk);
            spool.stored(offset + chunk.len() as u64);
        }
        log
    }

    #[test]
    fn a_small_log_touches_no_disk_and_travels_with_the_finish() {
        let dir = TempDir::new().unwrap();
        let spool = spool(&dir, 1 << 20);
        spool.append(Stream::Stdout, AT, b"hello").unwrap();
        let log = spool.inline().unwrap();
        assert_eq!(Digest::of(&log), spool.digest());
        assert_eq!(log.len() as u64, spool.len());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_large_log_becomes_a_file_without_losing_a_byte_and_the_file_goes_with_it() {
        let dir = TempDir::new().unwrap();
        let spool = spool(&dir, 1 << 20);
        let piece: Vec<u8> = (0..=255).cycle().take(9_000).collect();
        for _ in 0..10 {
            spool.append(Stream::Stderr, AT, &piece).unwrap();
        }
        assert_eq!(spool.inline(), None);
        assert!(!spool.is_delivered_by_finish());
        let log = read_all(&spool);
        assert_eq!(Digest::of(&log), spool.digest());
        assert!(spool.is_delivered_by_finish());
        let mut decoder = Decoder::default();
        decoder.push(&log);
        let mut data = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            data.extend_from_slice(&frame.data);
        }
        assert_eq!(data, piece.repeat(10));
        drop(spool);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn output_over_the_limit_is_counted_and_one_last_frame_says_so() {
        let dir = TempDir::new().unwrap();
        let spool = spool(&dir, 8);
        for _ in 0..3 {
            spool.append(Stream::Stdout, AT, b"12345").unwrap();
        }
        spool.close(AT);
        spool.close(AT);
        let mut decoder = Decoder::default();
        decoder.push(&spool.inline().unwrap());
        let frames: Vec<_> = std::iter::from_fn(|| decoder.next_frame().unwrap()).collect();
        let texts: Vec<_> = frames
            .iter()
            .map(|frame| (frame.stream, String::from_utf8_lossy(&frame.data).into_owned()))
            .collect();
        let note = "log limit of 8B reached: 7 more bytes were dropped\n";
        let expected = [
            (Stream::Stdout, "12345"),
            (Stream::Stdout, "123"),
            (Stream::Agent, note),
        ];
        assert_eq!(texts, expected.map(|(stream, text)| (stream, text.to_owned())));
    }

    #[test]
    fn once_a_chunk_was_sent_the_log_is_shipped_to_its_end_from_where_the_coordinator_is() {
        let dir = TempDir::new().unwrap();
        let spool = spool(&dir, 1 << 20);
        spool.append(Stream::Stdout, AT, b"abc").unwrap();
        let (offset, chunk) = spool.next_chunk(4).unwrap().unwrap();
        assert_eq!((offset, chunk.len()), (0, 4));
        assert_eq!(spool.inline(), None);
        spool.stored(10);
        assert_eq!(spool.next_chunk(100).unwrap().unwrap().0, 10);
        spool.stored(2);
        assert_eq!(spool.backlog(), spool.len() - 2);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_refused_whole_until_it_is_given_up() {
        let spool = Spool::new("/nowhere/log".into(), ByteSize(1 << 20));
        spool.append(Stream::Stdout, AT, b"kept").unwrap();
        let (len, digest) = (spool.len(), spool.digest());
        let large = [0; INLINE_LOG_BYTES_MAX];
        spool.append(Stream::Stdout, AT, &large).unwrap_err();
        assert_eq!((spool.len(), spool.digest()), (len, digest));
        spool.refuse_more();
        spool.append(Stream::Stdout, AT, &large).unwrap();
        spool.close(AT);
        assert_eq!((spool.len(), spool.digest()), (len, digest));
    }
}
