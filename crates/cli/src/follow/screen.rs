//! Where a followed log goes: which stream to stdout, which to stderr, byte for byte.
//!
//! When a reader has gone, what would go there is dropped and whoever waits on [`Screen::reader_gone`] is told, since
//! only the command knows what that means.

use std::io::{self, Write};
use std::sync::Arc;

use protocol::frame::Stream;
use tokio::sync::Notify;

use crate::failure::Failure;

/// Which stream goes where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Stdout to stdout, everything else to stderr.
    Apart,
    /// Both of the job's streams to stdout, the agent's notes to stderr.
    Together,
    /// One stream to stdout, nothing else.
    Only(Stream),
}

/// One of the two outlets.
enum Side {
    Stdout,
    Stderr,
}

/// The process's own output, for the bytes of a job.
pub(crate) struct Screen {
    route: Route,
    stdout: Outlet,
    stderr: Outlet,
    gone: Arc<Notify>,
}

struct Outlet {
    to: Box<dyn Write + Send>,
    closed: bool,
}

impl Screen {
    /// Stdout and stderr of this process.
    pub(crate) fn of_process(route: Route) -> Self {
        Self::new(route, Box::new(io::stdout()), Box::new(io::stderr()))
    }

    fn new(route: Route, stdout: Box<dyn Write + Send>, stderr: Box<dyn Write + Send>) -> Self {
        let outlet = |to| Outlet { to, closed: false };
        Self {
            route,
            stdout: outlet(stdout),
            stderr: outlet(stderr),
            gone: Arc::new(Notify::new()),
        }
    }

    /// Is notified once when the reader of stdout has gone.
    pub(crate) fn reader_gone(&self) -> Arc<Notify> {
        Arc::clone(&self.gone)
    }

    /// Writes bytes of one stream and flushes them.
    ///
    /// # Errors
    /// The output cannot be written, for another reason than that its reader has gone.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Failure> {
        match self.route.outlet(stream) {
            None => Ok(()),
            Some(Side::Stderr) => self.stderr.write(bytes).map(drop),
            Some(Side::Stdout) => {
                if self.stdout.write(bytes)? {
                    self.gone.notify_one();
                }
                Ok(())
            }
        }
    }
}

impl Route {
    fn outlet(self, stream: Stream) -> Option<Side> {
        match (self, stream) {
            (Self::Apart | Self::Together, Stream::Stdout) | (Self::Together, Stream::Stderr) => {
                Some(Side::Stdout)
            }
            (Self::Apart, Stream::Stderr) | (Self::Apart | Self::Together, Stream::Agent) => {
                Some(Side::Stderr)
            }
            (Self::Only(wanted), stream) => (wanted == stream).then_some(Side::Stdout),
        }
    }
}

impl Outlet {
    /// Says whether this write found the reader gone; later ones are dropped.
    fn write(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        if self.closed {
            return Ok(false);
        }
        match self.to.write_all(bytes).and_then(|()| self.to.flush()) {
            Ok(()) => Ok(false),
            Err(why) if why.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(true)
            }
            Err(why) => Err(Failure::output(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// A pipe whose reader has gone after the first write.
    struct Closing(bool);

    impl Write for Closing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                Err(io::ErrorKind::BrokenPipe.into())
            } else {
                Ok(bytes.len())
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_told_once_and_fails_nothing() {
        let mut screen = Screen::new(Route::Apart, Box::new(Closing(false)), Box::new(io::sink()));
        let gone = screen.reader_gone();
        screen.write(Stream::Stdout, b"a").unwrap();
        assert!(gone.notified().now_or_never().is_none());
        screen.write(Stream::Stdout, b"b").unwrap();
        screen.write(Stream::Stdout, b"c").unwrap();
        screen.write(Stream::Stderr, b"d").unwrap();
        assert!(gone.notified().now_or_never().is_some());
        assert!(gone.notified().now_or_never().is_none());
    }
}
