//! The file of an unfinished resumable upload: found by its digest, written by one upload at a time.
//!
//! The one rule: whoever writes, renames or removes a partial file holds the lock (`flock`) on it *and* has seen that
//! the path still names the locked file. The lock ends with its holder, so a dead process blocks nobody.
//!
//! What the file holds is believed only after it was hashed: a power loss may have left anything in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use domain::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};

use crate::error::VaultError;

/// How often a claim looks again when the file was finished between finding and locking it.
const CLAIM_TRIES_MAX: usize = 8;

/// How many bytes are read at once.
const READ_BYTES: usize = 256 << 10;

/// Opens or creates the partial file at `path` and locks it. Dropping the result keeps the file.
pub(crate) fn claim(path: &Path, digest: Digest) -> Result<NamedTempFile, VaultError> {
    for _ in 0..CLAIM_TRIES_MAX {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(VaultError::at("open", path))?;
        if !lock(&file).map_err(VaultError::at("lock", path))? {
            return Err(VaultError::Busy { digest });
        }
        if is_named(&file, path).map_err(VaultError::at("look at", path))? {
            let path = TempPath::try_from_path(path).map_err(VaultError::at("resolve", path))?;
            let mut staged = NamedTempFile::from_parts(file, path);
            staged.disable_cleanup(true);
            return Ok(staged);
        }
    }
    Err(VaultError::Busy { digest })
}

/// Hashes what the file holds. Returns the hasher, ready for the bytes that follow, and the length.
pub(crate) fn hash(staged: &NamedTempFile) -> Result<(Sha256, u64), VaultError> {
    let mut hasher = Sha256::new();
    let mut length = 0;
    let mut buffer = vec![0; READ_BYTES];
    let mut file = staged.as_file();
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hasher, length)),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                length += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(VaultError::at("read", staged.path())(error)),
        }
    }
}

/// Empties the file.
pub(crate) fn truncate(staged: &mut NamedTempFile) -> Result<(), VaultError> {
    let file = staged.as_file_mut();
    let emptied = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
    emptied.map(drop).map_err(VaultError::at("empty", staged.path()))
}

/// Takes the lock without waiting; `false` when somebody else has it.
pub(crate) fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether `path` still names the locked `file`, and nothing else does: a file that is a blob by now must not be
/// appended to.
pub(crate) fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    let named = match fs::metadata(path) {
        Ok(named) => named,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if (ours.dev(), ours.ino()) != (named.dev(), named.ino()) {
        return Ok(false);
    }
    if ours.nlink() > 1 {
        // Where the file system cannot rename without overwriting, a crash leaves two names of one file.
        fs::remove_file(path)?;
        return Ok(false);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_became_a_blob_is_never_written_again() {
        let home = tempfile::tempdir().unwrap();
        let (partial, blob) = (home.path().join("x.partial"), home.path().join("x"));
        fs::write(&partial, b"whole").unwrap();
        fs::hard_link(&partial, &blob).unwrap();

        let staged = claim(&partial, Digest::of(b"whole")).unwrap();

        assert_eq!(hash(&staged).unwrap().1, 0, "the claim starts with a new file");
        assert_eq!(fs::read(&blob).unwrap(), b"whole");
    }

    #[test]
    fn the_lock_is_on_the_file_and_not_on_the_name() {
        let home = tempfile::tempdir().unwrap();
        let partial = home.path().join("x.partial");
        let first = claim(&partial, Digest::of(b"x")).unwrap();
        fs::rename(&partial, home.path().join("x")).unwrap();
        let second = claim(&partial, Digest::of(b"x")).unwrap();
        assert!(!is_named(first.as_file(), &partial).unwrap());
        assert!(is_named(second.as_file(), &partial).unwrap());
    }
}
