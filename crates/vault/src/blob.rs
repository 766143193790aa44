//! Reading a blob, verified on the way.
//!
//! The reader hashes each byte the first time that it comes by, and it hands out the last byte only when the hash of
//! all of them is right. So whoever has got the whole content has got the right content, also a caller who counts bytes
//! and never asks for the end. Seeking back is free; seeking forward reads and hashes what lies between.
//!
//! A part of a blob cannot be verified: see [`Vault::open_range`](crate::Vault::open_range).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use domain::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::VaultError;

/// The content of one blob. A flipped bit is an error (`InvalidData`) on the read that would return the last byte.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    digest: Digest,
    size: u64,
    /// Where the next read starts; never behind `hashed`.
    position: u64,
    /// How many bytes from the start went through the hash.
    hashed: u64,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    Pending(Sha256),
    Sound,
    Damaged,
}

impl BlobReader {
    pub(crate) fn new(file: File, digest: Digest, size: u64) -> Self {
        Self {
            file,
            digest,
            size,
            position: 0,
            hashed: 0,
            proof: Proof::Pending(Sha256::new()),
        }
    }

    /// The size of the whole blob in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes note of bytes that were read at the current position.
    fn advance(&mut self, bytes: &[u8]) {
        let seen_before = usize::try_from(self.hashed - self.position).unwrap_or(usize::MAX);
        self.position += bytes.len() as u64;
        if let (Some(fresh), Proof::Pending(hasher)) = (bytes.get(seen_before..), &mut self.proof) {
            hasher.update(fresh);
            self.hashed = self.hashed.max(self.position);
        }
    }

    /// Compares the hash once all bytes are in it. Damage is final: no later read may look like a clean end.
    fn judge(&mut self) -> io::Result<()> {
        if let Proof::Pending(hasher) = &self.proof
            && self.hashed == self.size
        {
            let actual = Digest::from_bytes(hasher.clone().finalize().into());
            self.proof = if actual == self.digest {
                Proof::Sound
            } else {
                Proof::Damaged
            };
        }
        match self.proof {
            Proof::Damaged => Err(VaultError::Damaged { digest: self.digest }.into()),
            Proof::Pending(_) | Proof::Sound => Ok(()),
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.judge()?;
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.file.read(&mut buffer[..wanted])?;
        if n == 0 {
            // The file became shorter after it was opened.
            self.proof = Proof::Damaged;
        }
        self.advance(&buffer[..n]);
        self.judge()?;
        Ok(n)
    }
}

impl Seek for BlobReader {
    /// Moves to a byte of the blob or to its end; a place behind the end is refused.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        let target = target
            .filter(|target| *target <= self.size)
            .ok_or(io::ErrorKind::InvalidInput)?;
        self.position = self.file.seek(SeekFrom::Start(target.min(self.hashed)))?;
        let unread = target - self.position;
        io::copy(&mut self.by_ref().take(unread), &mut io::sink())?;
        Ok(self.position)
    }
}
