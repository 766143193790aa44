//! The vault against a real directory: what is acknowledged is whole, what is refused leaves nothing.
//!
//! `uploads` and `resume` are about the way in, `reading` about the way out, `transfer` about both for async callers.
//! `full_disk` mounts a tiny file system, so it needs root, and `durability` reads system calls, so it needs strace.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may stop at a surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use domain::Digest;
use tempfile::TempDir;
use vault::{Stored, Vault, VaultError};

mod durability;
mod full_disk;
mod reading;
mod resume;
mod transfer;
mod uploads;

/// The files of an empty vault.
const NOTHING: [PathBuf; 0] = [];

/// A vault in a directory of its own.
struct Home {
    dir: TempDir,
    vault: Vault,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        Self { dir, vault }
    }

    /// Every file of a blob or an upload in the vault.
    fn files(&self) -> Vec<PathBuf> {
        files_below(self.dir.path())
    }

    /// Where the content of `digest` lies.
    fn blob(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.dir.path().join("blobs").join(&name[..2]).join(&name[2..])
    }

    /// Flips the lowest bit of the byte at `index` of a stored blob.
    fn flip_bit(&self, digest: Digest, index: usize) {
        let mut content = fs::read(self.blob(digest)).unwrap();
        content[index] ^= 1;
        fs::write(self.blob(digest), content).unwrap();
    }
}

/// All files but the vault's id.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| !path.ends_with("id"))
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn put(vault: &Vault, content: &[u8]) -> Result<Stored, VaultError> {
    let mut upload = vault.begin()?;
    upload.write(content)?;
    upload.finish(None)
}

/// `n` bytes that repeat with no power of two.
fn bytes(n: usize) -> Vec<u8> {
    (0..=250).cycle().take(n).collect()
}
