//! One upload: hashed while it is written, acknowledged when it is durable.
//!
//! The order in [`Upload::finish`] is the promise: verify, sync the file, give it its name, sync the directory. A crash
//! before the rename leaves a temporary file at most, a crash after it leaves the whole blob. The name is given without
//! overwriting: of two uploads of the same content one wins, and both are acknowledged after a sync of their own.
//!
//! How an unfinished upload is found again is in [`partial`](crate::partial).

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use domain::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::error::VaultError;
use crate::layout::{Layout, sync_dir};
use crate::partial;

/// A blob that is whole and on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The name of the blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A blob on its way in. After an error drop it: nothing of it is in the vault.
#[derive(Debug)]
pub struct Upload {
    staged: NamedTempFile,
    hasher: Sha256,
    written: u64,
    announced: Option<Digest>,
    blob_bytes_max: u64,
    layout: Arc<Layout>,
}

impl Upload {
    pub(crate) fn begin(layout: Arc<Layout>, blob_bytes_max: u64) -> Result<Self, VaultError> {
        let tmp = layout.tmp();
        let staged = tempfile::Builder::new()
            .prefix("upload-")
            .tempfile_in(&tmp)
            .map_err(VaultError::at("create a file in", &tmp))?;
        Ok(Self {
            staged,
            hasher: Sha256::new(),
            written: 0,
            announced: None,
            blob_bytes_max,
            layout,
        })
    }

    pub(crate) fn resume(
        layout: Arc<Layout>,
        blob_bytes_max: u64,
        digest: Digest,
    ) -> Result<Self, VaultError> {
        let staged = partial::claim(&layout.partial(digest), digest)?;
        let (hasher, written) = partial::hash(&staged)?;
        Ok(Self {
            staged,
            hasher,
            written,
            announced: Some(digest),
            blob_bytes_max,
            layout,
        })
    }

    /// How many bytes are written; where the next ones belong.
    pub fn offset(&self) -> u64 {
        self.written
    }

    /// Forgets what is written and starts at the first byte again.
    pub fn restart(&mut self) -> Result<(), VaultError> {
        partial::truncate(&mut self.staged)?;
        self.hasher = Sha256::new();
        self.written = 0;
        Ok(())
    }

    /// Appends `bytes`. Content over the limit of the vault is [`VaultError::TooLarge`] and nothing of it is kept.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), VaultError> {
        let room = self.blob_bytes_max.saturating_sub(self.written);
        if bytes.len() as u64 > room {
            self.staged.disable_cleanup(false);
            return Err(VaultError::TooLarge {
                bytes_max: self.blob_bytes_max,
            });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = self.write_some(rest)?;
            // Only what the file took is hashed, so that after a failed write the hash is still that of the file.
            let (taken, left) = rest.split_at(n);
            self.hasher.update(taken);
            self.written += n as u64;
            rest = left;
        }
        Ok(())
    }

    fn write_some(&mut self, bytes: &[u8]) -> Result<usize, VaultError> {
        loop {
            match self.staged.as_file_mut().write(bytes) {
                Ok(0) => break Err(io::Error::from(io::ErrorKind::WriteZero)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => break done,
            }
        }
        .map_err(VaultError::at("write to", self.staged.path()))
    }

    /// Verifies the content, makes it durable and gives it its name.
    ///
    /// `expected` is the digest that the caller was told; a resumable upload knows its own. After an error the upload is
    /// not acknowledged and its temporary file is gone, so the next try starts at the first byte.
    pub fn finish(mut self, expected: Option<Digest>) -> Result<Stored, VaultError> {
        // This holds for a resumable upload too: after a failed sync nobody knows what the disk has of it.
        self.staged.disable_cleanup(false);
        let digest = Digest::from_bytes(self.hasher.finalize().into());
        if let Some(announced) = expected
            .or(self.announced)
            .filter(|announced| *announced != digest)
        {
            return Err(VaultError::Mismatch {
                announced,
                actual: digest,
            });
        }
        let staged = self.staged;
        staged
            .as_file()
            .sync_all()
            .map_err(VaultError::at("sync", staged.path()))?;
        let blob = self.layout.blob(digest);
        publish(staged, &blob, self.written)?;
        // Also when the blob was there before: whoever named it may not have synced the directory yet.
        sync_dir(blob.parent().expect("a blob lies in a shard"))?;
        Ok(Stored {
            digest,
            size: self.written,
        })
    }
}

/// Gives the staged file its final name, unless that name has the content already.
fn publish(staged: NamedTempFile, blob: &Path, size: u64) -> Result<(), VaultError> {
    let Err(refused) = staged.persist_noclobber(blob) else {
        return Ok(());
    };
    if refused.error.kind() != io::ErrorKind::AlreadyExists {
        return Err(VaultError::at("rename to", blob)(refused.error));
    }
    let present = fs::metadata(blob).map_err(VaultError::at("look at", blob))?.len();
    if present == size {
        return Ok(());
    }
    // A blob of another length is damaged, and what was just verified heals it.
    refused
        .file
        .persist(blob)
        .map(drop)
        .map_err(|refused| VaultError::at("replace", blob)(refused.error))
}
