//! The lock that gives one process the database, on a file of its own beside it.
//!
//! Never on the database file: closing *any* descriptor of a file drops all POSIX locks that the process has on it, so a
//! second descriptor would silently take SQLite's own locks away, and with them commits that were acknowledged.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::OpenError;

/// How long the lock is waited for. A process that was killed while it started another one has it until that one has
/// begun, for only then are the descriptors that it inherited closed.
const HANDOVER_MAX: Duration = Duration::from_secs(2);
/// Time between two tries.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Held as long as the value lives; the file stays where it is, because removing it would race with the next owner.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes `<database>.lock`; waits for [`HANDOVER_MAX`] at most.
    pub(super) fn acquire(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, ".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|source| OpenError::Prepare {
            path: path.clone(),
            source,
        })?;
        let deadline = Instant::now() + HANDOVER_MAX;
        loop {
            #[expect(
                clippy::disallowed_methods,
                reason = "the lock of a file tells nobody when it is free"
            )]
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(RETRY_AFTER),
                Err(Errno::WOULDBLOCK) => {
                    let path = database.to_owned();
                    return Err(OpenError::InUse { path });
                }
                Err(errno) => {
                    let source = errno.into();
                    return Err(OpenError::Prepare { path, source });
                }
            }
        }
    }
}

/// The path of the database with something appended to its name.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_its_last_owner_is_about_to_lose_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("nexus.db");
        let first = Lock::acquire(&database).unwrap();
        let second = thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::acquire(&database));
            #[expect(
                clippy::disallowed_methods,
                reason = "the other thread must be refused a few times"
            )]
            thread::sleep(5 * RETRY_AFTER);
            drop(first);
            waiting.join().unwrap()
        });
        assert!(second.is_ok(), "{second:?}");
    }

    #[test]
    fn a_lock_that_stays_taken_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("nexus.db");
        let _first = Lock::acquire(&database).unwrap();
        let second = Lock::acquire(&database);
        assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    }
}
