//! Where things lie in the directory of a vault, and how a name in it is made durable.
//!
//! `blobs/ab/cdef..` holds the blob whose digest is `abcdef..`; `tmp/` holds what is still being uploaded; `id` is the
//! vault's identity. All 256
//! directories below `blobs/` are made when the vault is opened, so that an upload never waits for the entry of a
//! directory which another upload made and has not synced yet.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use domain::Digest;

use crate::error::VaultError;

/// The paths of one vault.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes every directory that is missing below `root`, durably.
    pub(crate) fn create(root: &Path) -> Result<Self, VaultError> {
        // Absolute, so that the paths stay right when the process changes its directory.
        let root = std::path::absolute(root).map_err(VaultError::at("resolve", root))?;
        let layout = Self { root };
        make_dir(&layout.root)?;
        make_dir(&layout.tmp())?;
        for shard in 0..=u8::MAX {
            make_dir(&layout.blobs().join(format!("{shard:02x}")))?;
        }
        sync_dir(&layout.blobs())?;
        sync_dir(&layout.root)?;
        if let Some(parent) = layout.root.parent() {
            sync_dir(parent)?;
        }
        Ok(layout)
    }

    /// The final place of a blob.
    pub(crate) fn blob(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        let (shard, rest) = name.split_at(2);
        self.blobs().join(shard).join(rest)
    }

    /// What it means that a file was not found: that it is not in the vault, if the vault itself is there.
    pub(crate) fn check_presence(&self) -> Result<(), VaultError> {
        let blobs = self.blobs();
        match std::fs::metadata(&blobs) {
            Ok(_) => Ok(()),
            Err(error) => Err(VaultError::at("find the vault's", &blobs)(error)),
        }
    }

    /// The place of an unfinished resumable upload.
    pub(crate) fn partial(&self, digest: Digest) -> PathBuf {
        self.tmp().join(format!("{digest}.partial"))
    }

    /// The directory of everything unfinished. On the same file system as the blobs, so that a rename is atomic.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The file of the vault's identity.
    pub(crate) fn id(&self) -> PathBuf {
        self.root.join("id")
    }

    /// The directory of everything.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }
}

/// Makes the names in `dir` survive a power loss.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), VaultError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(VaultError::at("sync", dir))
}

fn make_dir(dir: &Path) -> Result<(), VaultError> {
    let made: io::Result<()> = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(VaultError::at("create", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_lies_in_the_shard_of_its_first_two_digits() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::create(home.path()).unwrap();
        let path = layout.blob(Digest::of(b"abc"));
        let below = path.strip_prefix(home.path()).unwrap();
        let expected = "blobs/ba/7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(below, Path::new(expected));
        assert!(path.parent().unwrap().is_dir());
    }
}
