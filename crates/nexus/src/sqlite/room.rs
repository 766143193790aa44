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
/// How long an answer of the file system is believed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Room {
    database: PathBuf,
    reserve: PathBuf,
    looked_at: Option<Instant>,
    is_short: bool,
    has_reserve: bool,
}

impl Room {
    /// Looks at the file system of the database for the first time.
    pub(super) fn new(database: &Path) -> Self {
        let reserve = beside(database, ".reserve");
        let has_reserve = reserve.exists();
        Self {
            database: database.to_owned(),
            reserve,
            looked_at: None,
            is_short: false,
            has_reserve,
        }
    }

    /// Whether growth must be turned away. `reusable_bytes` answers how much the database could take without growing.
    pub(super) fn is_short(&mut self, now: Instant, reusable_bytes: impl FnOnce() -> u64) -> bool {
        let is_fresh = self
            .looked_at
            .is_some_and(|at| now.duration_since(at) < LOOK_AGAIN_AFTER);
        if !is_fresh {
            self.looked_at = Some(now);
            self.look(reusable_bytes());
        }
        self.is_short
    }

    /// Remembers that a write found no room, whatever the file system says, until the next look.
    pub(super) fn ran_out(&mut self, now: Instant) {
        self.looked_at = Some(now);
        self.is_short = true;
    }

    /// Gives the reserve back to the file system. False if there is none left.
    pub(super) fn release_reserve(&mut self) -> bool {
        if !self.has_reserve {
            return false;
        }
        self.has_reserve = false;
        let removed = std::fs::remove_file(&self.reserve);
        tracing::warn!(database = %self.database.display(), ?removed, "the disk is full: gave the reserve back");
        removed.is_ok()
    }

    fn look(&mut self, reusable_bytes: u64) {
        let Some(directory) = self.database.parent() else {
            return;
        };
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        let Ok(system) = statvfs(directory) else { return };
        let total = system.f_blocks.saturating_mul(system.f_frsize);
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        let free_min = FREE_BYTES_MIN.min(total / 8);
        let reserve = RESERVE_BYTES.min(total / 16);
        let was_short = self.is_short;
        self.is_short = free.saturating_add(reusable_bytes) < free_min;
        if was_short != self.is_short {
            tracing::warn!(database = %self.database.display(), free, is_short = self.is_short, "room on the disk changed");
        }
        if !self.has_reserve && free >= free_min.saturating_add(reserve) {
            self.has_reserve = self.create_reserve(reserve).is_ok();
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
