//! The lock that gives one process the database, on a file of its own beside it.
//!
//! Never on the database file: closing *any* descriptor of a file drops all POSIX locks that the process has on it, so a
//! second descriptor would silently take SQLite's own locks away, and with them commits that were acknowledged.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::OpenError;

/// Held as long as the value lives; the file stays where it is, because removing it would race with the next owner.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes `<database>.lock` without waiting.
    pub(super) fn acquire(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, ".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|source| OpenError::Prepare {
            path: path.clone(),
            source,
        })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(OpenError::InUse {
                path: database.to_owned(),
            }),
            Err(errno) => Err(OpenError::Prepare {
                path,
                source: errno.into(),
            }),
        }
    }
}

/// The path of the database with something appended to its name.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}
