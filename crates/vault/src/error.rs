//! What can go wrong with a blob: one variant for each thing that a caller may answer differently.
//!
//! A full disk is a state of the world and has its own variant, whichever call meets it. What a reader finds wrong
//! travels inside an [`io::Error`] and is taken out again here.

use std::io;
use std::path::{Path, PathBuf};

use domain::Digest;

/// Why the vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The vault does not have this blob.
    #[error("find blob {digest}")]
    Missing { digest: Digest },

    /// The content is not what its digest announced; nothing of it was kept.
    #[error("store blob {announced}: its content has the digest {actual}")]
    Mismatch { announced: Digest, actual: Digest },

    /// The content is longer than the vault takes, or than the reader wanted.
    #[error("take a blob of more than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },

    /// The disk or the quota is full. It may pass; the same upload may be tried again.
    #[error("write to `{}`: the disk is full", path.display())]
    Full { path: PathBuf, source: io::Error },

    /// Another upload of the same digest is open.
    #[error("continue the upload of blob {digest}: another one is open")]
    Busy { digest: Digest },

    /// A resumed upload starts neither at the beginning nor where the stored part ends.
    #[error("continue an upload at byte {offset}: {stored} bytes are stored")]
    Offset { offset: u64, stored: u64 },

    /// The stored content is no longer what was uploaded.
    #[error("read blob {digest}: it is damaged on the disk")]
    Damaged { digest: Digest },

    /// The range starts behind the end of the blob.
    #[error("read from byte {start} of a blob of {size} bytes")]
    OutOfRange { start: u64, size: u64 },

    /// The content stopped before its end. What arrived of a resumable upload is kept.
    #[error("receive the content to its end")]
    Interrupted { source: io::Error },

    /// The process is stopping and did not start the work.
    #[error("use the vault of a process that is stopping")]
    Stopping,

    /// Anything else that the file system said.
    #[error("{action} `{}`", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl VaultError {
    /// Turns what the file system said about `path` into an error; for `map_err`.
    pub(crate) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            _ => match source.downcast::<Self>() {
                Ok(ours) => ours,
                Err(source) => Self::Io { action, path, source },
            },
        }
    }
}

impl From<VaultError> for io::Error {
    fn from(error: VaultError) -> Self {
        let kind = match error {
            VaultError::Damaged { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let path = Path::new("/blobs");
        let full = VaultError::at("write to", path)(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.to_string(), "write to `/blobs`: the disk is full");
        let other = VaultError::at("open", path)(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(other.to_string(), "open `/blobs`");
    }

    #[test]
    fn an_error_of_ours_survives_the_trip_through_io() {
        let there = io::Error::from(VaultError::Damaged {
            digest: Digest::of(b"x"),
        });
        let back = VaultError::at("read", Path::new("/blobs"))(there);
        assert!(
            matches!(back, VaultError::Damaged { digest } if digest == Digest::of(b"x")),
            "{back:?}"
        );
    }
}
