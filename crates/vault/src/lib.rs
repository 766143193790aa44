//! Content-addressed blobs: inputs, artifacts and finished logs, each named by the SHA-256 of its content.
//!
//! A blob is acknowledged only when it is whole, verified and on the disk, and it never changes afterwards. So a digest
//! is as good as the content: uploading twice is the same as once, and whoever reads a blob to its end has read what
//! was uploaded. A directory is the one backend so far.
//!
//! The blocking calls are the truth; [`transfer`] wraps them for async callers. Which blobs are still needed is not
//! decided here, and nothing here knows a job.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use domain::Digest;

pub use blob::BlobReader;
pub use error::VaultError;
pub use identity::VaultId;
pub use leftover::LEFTOVER_AGE;
pub use transfer::Presence;
pub use upload::{Stored, Upload};

use layout::Layout;

mod blob;
mod error;
mod identity;
mod layout;
mod leftover;
mod partial;
pub mod transfer;
mod upload;

/// The largest blob that a vault takes unless [`Vault::with_blob_bytes_max`] says otherwise: 16 GiB.
pub const BLOB_BYTES_MAX_DEFAULT: u64 = 16 << 30;

/// A directory of blobs. Cheap to clone; any number of processes may use the same directory at once.
#[derive(Debug, Clone)]
pub struct Vault {
    layout: Arc<Layout>,
    id: VaultId,
    blob_bytes_max: u64,
}

impl Vault {
    /// Opens the vault in `dir` and creates it where it is missing, readable by its owner alone.
    ///
    /// Removes what uploads of dead processes left behind: temporary files untouched for [`LEFTOVER_AGE`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, VaultError> {
        let layout = Layout::create(dir.as_ref())?;
        leftover::sweep(&layout.tmp(), SystemTime::now())?;
        Ok(Self {
            id: identity::open(&layout)?,
            layout: Arc::new(layout),
            blob_bytes_max: BLOB_BYTES_MAX_DEFAULT,
        })
    }

    /// The same vault, refusing blobs of more than `bytes`.
    #[must_use]
    pub fn with_blob_bytes_max(self, bytes: u64) -> Self {
        Self {
            blob_bytes_max: bytes,
            ..self
        }
    }

    /// Which vault this is, whatever way leads to it.
    pub const fn id(&self) -> &VaultId {
        &self.id
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.layout.root()
    }

    /// Whether the whole blob is here.
    pub fn has(&self, digest: Digest) -> Result<bool, VaultError> {
        Ok(self.size(digest)?.is_some())
    }

    /// The size of the blob in bytes, `None` when it is not here.
    pub fn size(&self, digest: Digest) -> Result<Option<u64>, VaultError> {
        self.size_of(&self.layout.blob(digest))
    }

    /// How many bytes of the blob an unfinished resumable upload has stored; 0 when there is none.
    pub fn resume_offset(&self, digest: Digest) -> Result<u64, VaultError> {
        Ok(self.size_of(&self.layout.partial(digest))?.unwrap_or(0))
    }

    /// Starts an upload of any content. Dropping it unfinished leaves nothing.
    pub fn begin(&self) -> Result<Upload, VaultError> {
        Upload::begin(Arc::clone(&self.layout), self.blob_bytes_max)
    }

    /// Starts the upload of `digest`, or goes on where an unfinished one stopped ([`Upload::offset`]).
    ///
    /// Dropping it unfinished keeps what was written, for [`LEFTOVER_AGE`]. Going on costs one read of what is there,
    /// since the hash starts from the first byte. Refused as [`VaultError::Busy`] while another upload of the same
    /// digest is open, in this process or another.
    pub fn begin_resumable(&self, digest: Digest) -> Result<Upload, VaultError> {
        Upload::resume(Arc::clone(&self.layout), self.blob_bytes_max, digest)
    }

    /// Opens the blob for reading; the content is verified on the way (see [`BlobReader`]).
    pub fn open_blob(&self, digest: Digest) -> Result<BlobReader, VaultError> {
        let (file, size) = self.open_file(digest)?;
        Ok(BlobReader::new(file, digest, size))
    }

    /// Opens a range of the blob, cut at its end. **Not verified**: a hash says nothing about a part.
    pub fn open_range(&self, digest: Digest, range: Range<u64>) -> Result<io::Take<File>, VaultError> {
        let (mut file, size) = self.open_file(digest)?;
        if range.start > size {
            return Err(VaultError::OutOfRange {
                start: range.start,
                size,
            });
        }
        file.seek(SeekFrom::Start(range.start))
            .map_err(VaultError::at("seek in", &self.layout.blob(digest)))?;
        Ok(file.take(range.end.min(size).saturating_sub(range.start)))
    }

    fn open_file(&self, digest: Digest) -> Result<(File, u64), VaultError> {
        let path = self.layout.blob(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.layout.check_presence()?;
                return Err(VaultError::Missing { digest });
            }
            Err(error) => return Err(VaultError::at("open", &path)(error)),
        };
        let size = file.metadata().map_err(VaultError::at("look at", &path))?.len();
        Ok((file, size))
    }

    fn size_of(&self, path: &Path) -> Result<Option<u64>, VaultError> {
        match fs::metadata(path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.layout.check_presence()?;
                Ok(None)
            }
            Err(error) => Err(VaultError::at("look at", path)(error)),
        }
    }
}
