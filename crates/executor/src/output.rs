//! The two pipes that a process writes its output to.
//!
//! A piece of output goes from the pipe to the sink within one call, without an await in between, and stays
//! here until the sink has taken it: an actor that dies at any point loses nothing. Which of two streams was
//! written to first cannot be known; they take turns.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::execution::{Drained, Sink, Stream};
use crate::watch::watch;

/// The largest piece handed to a sink; also what a pipe holds when it is new.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// The size of a pipe that was once found full. Unprivileged processes may not ask for more.
const FULL_PIPE_BYTES: usize = 1024 * 1024;

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// The reading ends.
pub(crate) struct Output {
    pipes: [AsyncFd<OwnedFd>; 2],
    /// Outlives the actors that drain it, so it cannot belong to one; never held across an await.
    progress: Mutex<Progress>,
}

struct Progress {
    state: [State; 2],
    /// Empty until there is output.
    piece: Vec<u8>,
    /// The stream and length of a piece that the sink has not taken yet.
    held: Option<(Stream, usize)>,
    /// Whose turn it is.
    next: Stream,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open {
        grown: bool,
    },
    /// Cut off: only so many bytes are still to be read.
    Last(usize),
    Closed,
}

enum Probe {
    Data,
    Eof,
}

impl Output {
    /// Opens both pipes and returns the writing ends of standard output and error as well.
    pub(crate) fn open() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let (stdout, stdout_end) = pipe()?;
        let (stderr, stderr_end) = pipe()?;
        let state = [State::Open { grown: false }; 2];
        let progress = Progress {
            state,
            piece: Vec::new(),
            held: None,
            next: Stream::Stdout,
        };
        Ok((
            Self {
                pipes: [stdout, stderr],
                progress: Mutex::new(progress),
            },
            stdout_end,
            stderr_end,
        ))
    }

    /// Whether [`Output::drain`] would find something. Notices the end of a stream on the way.
    pub(crate) fn available(&self) -> bool {
        let mut progress = self.lock();
        let mut available = progress.held.is_some();
        for (pipe, state) in self.pipes.iter().zip(&mut progress.state) {
            available |= match *state {
                State::Closed => false,
                State::Last(_) => true,
                State::Open { .. } => match pipe.try_io(Interest::READABLE, probe) {
                    Ok(Probe::Data) => true,
                    Ok(Probe::Eof) => {
                        *state = State::Closed;
                        false
                    }
                    Err(_) => false,
                },
            };
        }
        available
    }

    /// Waits until [`Output::available`] may say something else; for ever once both streams are closed.
    pub(crate) async fn changed(&self) {
        let [stdout, stderr] = self.lock().state.map(|state| state != State::Closed);
        tokio::select! {
            _ = self.pipes[0].readable(), if stdout => {}
            _ = self.pipes[1].readable(), if stderr => {}
            () = std::future::pending(), if !stdout && !stderr => {}
        }
    }

    /// Whether both streams have ended and everything was taken.
    pub(crate) fn closed(&self) -> bool {
        let progress = self.lock();
        progress.held.is_none() && progress.state == [State::Closed; 2]
    }

    /// Closes the streams after what they hold now, and returns whether that was nothing.
    pub(crate) fn cut_off(&self) -> bool {
        let mut progress = self.lock();
        for (pipe, state) in self.pipes.iter().zip(&mut progress.state) {
            if matches!(state, State::Open { .. }) {
                let held = rustix::io::ioctl_fionread(pipe.get_ref()).unwrap_or(0);
                *state = last(usize::try_from(held).expect("a pipe holds less than the address space"));
            }
        }
        progress.held.is_none() && progress.state == [State::Closed; 2]
    }

    /// See [`crate::Execution::drain`].
    pub(crate) fn drain(&self, sink: &mut Sink<'_>, bytes_max: usize) -> io::Result<Drained> {
        let mut progress = self.lock();
        let mut bytes = 0;
        loop {
            if let Some((stream, len)) = progress.held {
                // `held` is cleared after the sink has returned, so that a refusal or a panic keeps the piece.
                sink(stream, &progress.piece[..len])?;
                progress.held = None;
                bytes += len;
            }
            if bytes >= bytes_max {
                return Ok(Drained { bytes, more: true });
            }
            progress.held = self.read(&mut progress, bytes_max - bytes);
            if progress.held.is_none() {
                return Ok(Drained { bytes, more: false });
            }
        }
    }

    /// Reads the next piece from the stream whose turn it is, or else from the other.
    fn read(&self, progress: &mut Progress, bytes_max: usize) -> Option<(Stream, usize)> {
        if progress.piece.is_empty() && progress.state != [State::Closed; 2] {
            progress.piece.resize(PIECE_BYTES_MAX, 0);
        }
        let turn = match progress.next {
            Stream::Stdout => [0, 1],
            Stream::Stderr => [1, 0],
        };
        for index in turn {
            let (pipe, state) = (&self.pipes[index], &mut progress.state[index]);
            let room = bytes_max.min(PIECE_BYTES_MAX);
            if let Some(len) = read_piece(pipe, state, &mut progress.piece[..room]) {
                progress.next = STREAMS[1 - index];
                return Some((STREAMS[index], len));
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_piece(pipe: &AsyncFd<OwnedFd>, state: &mut State, piece: &mut [u8]) -> Option<usize> {
    let read = match *state {
        State::Closed => return None,
        State::Last(left) => {
            let room = left.min(piece.len());
            rustix::io::read(pipe.get_ref(), &mut piece[..room]).map_err(io::Error::from)
        }
        State::Open { .. } => pipe.try_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut *piece)?)),
    };
    match (read, *state) {
        (Ok(len @ 1..), State::Last(left)) => {
            *state = last(left - len);
            Some(len)
        }
        (Ok(len @ 1..), _) => {
            if len == PIECE_BYTES_MAX && *state == (State::Open { grown: false }) {
                // The job is faster than its reader. A refusal leaves a pipe that is smaller, and as correct.
                let _ = rustix::pipe::fcntl_setpipe_size(pipe.get_ref(), FULL_PIPE_BYTES);
                *state = State::Open { grown: true };
            }
            Some(len)
        }
        (Err(error), State::Open { .. }) if error.kind() == io::ErrorKind::WouldBlock => None,
        (Ok(0) | Err(_), _) => {
            *state = State::Closed;
            None
        }
    }
}

fn last(left: usize) -> State {
    if left == 0 {
        State::Closed
    } else {
        State::Last(left)
    }
}

/// Tells data from the end of the stream without reading.
fn probe(pipe: &OwnedFd) -> io::Result<Probe> {
    let mut polled = [PollFd::new(pipe, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut polled, Some(&now))?;
    let events = polled[0].revents();
    if events.contains(PollFlags::IN) {
        Ok(Probe::Data)
    } else if events.is_empty() {
        Err(io::ErrorKind::WouldBlock.into())
    } else {
        Ok(Probe::Eof)
    }
}

/// The reading end does not block; the program's end does, as programs expect.
fn pipe() -> io::Result<(AsyncFd<OwnedFd>, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((watch(read)?, write))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_full_streams_take_turns() {
        let (output, stdout, stderr) = Output::open().unwrap();
        for pipe in [&stdout, &stderr] {
            assert_eq!(rustix::io::write(pipe, &[b'x'; 4000]), Ok(4000));
        }
        for pipe in &output.pipes {
            drop(pipe.readable().await.unwrap());
        }
        let mut turns = Vec::new();
        for _ in 0..4 {
            let mut sink = |stream, bytes: &[u8]| {
                turns.push((stream, bytes.len()));
                Ok(())
            };
            assert_eq!(
                output.drain(&mut sink, 1000).unwrap(),
                Drained {
                    bytes: 1000,
                    more: true
                }
            );
        }
        let [out, err] = STREAMS.map(|stream| (stream, 1000));
        assert_eq!(turns, [out, err, out, err]);
    }
}
