//! Room on the disk: when to turn growth away, and the reserve that lets relief pass on a full disk.
//!
//! Growth ends while some room is left, so that running work can still end well. If even that is used up (by others), the
//! reserve file is given back to the file system: what needs it most, the end of jobs, is what frees room again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use super::lock::beside;

/// Growth is refused below this much free room (or an eighth of a small file system).
const FREE_BYTES_MIN: u64 = 64 << 20;
/// The size of the reserve (or a sixteenth of a small file system).
const RESERVE_BYTES: u64 = 16 << 20;
/// How long an answer of the file system is believed, and for how many bytes.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
const LOOK_AGAIN_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Room {
    directory: PathBuf,
    reserve: PathBuf,
    looked_at: Option<Instant>,
    /// Bytes that were to be written since.
    written: usize,
    is_short: bool,
    has_reserve: bool,
}

impl Room {
    /// For a database with its whole path. Looks at nothing yet.
    pub(super) fn new(database: &Path) -> Self {
        let directory = database.parent().unwrap_or(database).to_owned();
        let reserve = beside(database, ".reserve");
        let has_reserve = reserve.exists();
        Self {
            directory,
            reserve,
            looked_at: None,
            written: 0,
            is_short: false,
            has_reserve,
        }
    }

    /// Whether growth must be turned away. `reusable_bytes` answers how much the database could take without growing.
    pub(super) fn is_short(&mut self, now: Instant, reusable_bytes: impl FnOnce() -> u64) -> bool {
        let is_recent = self
            .looked_at
            .is_some_and(|at| now.duration_since(at) < LOOK_AGAIN_AFTER);
        if !is_recent || self.written > LOOK_AGAIN_BYTES {
            self.looked_at = Some(now);
            self.written = 0;
            self.look(reusable_bytes());
        }
        self.is_short
    }

    /// Notes that so many bytes are about to be written.
    pub(super) fn expect_growth(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
    }

    /// Remembers that a write found no room, whatever the file system says, until the next look.
    pub(super) fn ran_out(&mut self, now: Instant) {
        self.looked_at = Some(now);
        self.written = 0;
        self.is_short = true;
    }

    /// Gives the reserve back to the file system. False if there is none left.
    pub(super) fn release_reserve(&mut self) -> bool {
        if !self.has_reserve {
            return false;
        }
        self.has_reserve = false;
        let removed = std::fs::remove_file(&self.reserve);
        tracing::warn!(reserve = %self.reserve.display(), ?removed, "the disk is full: gave the reserve back");
        removed.is_ok()
    }

    fn look(&mut self, reusable_bytes: u64) {
        // If the file system cannot be asked, a write will tell.
        let Ok(system) = statvfs(&self.directory) else {
            return;
        };
        let total = system.f_blocks.saturating_mul(system.f_frsize);
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if !self.has_reserve && may_refill(total, free) {
            self.has_reserve = self.create_reserve(reserve_bytes(total)).is_ok();
        }
        let is_short = free.saturating_add(reusable_bytes) < free_bytes_min(total);
        if self.is_short != is_short {
            tracing::warn!(directory = %self.directory.display(), free, is_short, "room on the disk changed");
            self.is_short = is_short;
        }
    }

    fn create_reserve(&self, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.reserve)?;
        let filled = match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP) => fill(&file, bytes),
            other => other.map_err(io::Error::from),
        };
        if filled.is_err() {
            std::fs::remove_file(&self.reserve)?;
        }
        filled
    }
}

fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    let block = vec![0; 1 << 16];
    for _ in 0..bytes / (1 << 16) {
        file.write_all(&block)?;
    }
    Ok(())
}

fn free_bytes_min(total: u64) -> u64 {
    FREE_BYTES_MIN.min(total / 8)
}

fn reserve_bytes(total: u64) -> u64 {
    RESERVE_BYTES.min(total / 16)
}

/// Twice the reserve must be free: right after its release it must not take away again what it has given.
fn may_refill(total: u64, free: u64) -> bool {
    free > 2 * reserve_bytes(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_small_file_system_keeps_a_small_reserve() {
        assert_eq!(
            (reserve_bytes(32 << 20), free_bytes_min(32 << 20)),
            (2 << 20, 4 << 20)
        );
        assert_eq!(
            (reserve_bytes(100 * GIB), free_bytes_min(100 * GIB)),
            (16 << 20, 64 << 20)
        );
    }

    #[test]
    fn a_reserve_that_was_just_given_back_is_not_taken_again() {
        assert!(!may_refill(100 * GIB, RESERVE_BYTES));
        assert!(may_refill(100 * GIB, FREE_BYTES_MIN));
    }

    #[test]
    fn an_answer_of_the_file_system_is_believed_for_a_while_and_for_some_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let mut room = Room::new(&directory.path().join("nexus.db"));
        let began_at = Instant::now();
        assert!(!room.is_short(began_at, || GIB));
        room.ran_out(began_at);
        assert!(room.is_short(began_at + LOOK_AGAIN_AFTER / 2, || GIB));
        assert!(!room.is_short(began_at + LOOK_AGAIN_AFTER, || GIB));
        room.ran_out(began_at + LOOK_AGAIN_AFTER);
        room.expect_growth(LOOK_AGAIN_BYTES + 1);
        assert!(!room.is_short(began_at + LOOK_AGAIN_AFTER, || GIB));
    }

    #[test]
    fn a_reserve_is_given_back_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut room = Room::new(&directory.path().join("nexus.db"));
        room.is_short(Instant::now(), || GIB);
        assert!(room.reserve.exists());
        assert_eq!((room.release_reserve(), room.release_reserve()), (true, false));
        assert!(!room.reserve.exists());
    }
}
