//! The work directories of attempts: `<root>/<job>.<attempt>`, each used once.
//!
//! What a job leaves behind may be read-only, tens of thousands of levels deep, or full of links to elsewhere.
//! Removal works from directory descriptors, follows nothing, stays on one file system and needs a bounded
//! number of descriptors. Names that are not of this form are never touched.
//!
//! One level is enough: a directory for each job would double the cost of an empty work directory, and could
//! vanish under the next attempt while the last one is removed.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::{AtFlags, FileType, Mode, mkdirat, renameat, unlinkat};
use rustix::io::Errno;

use crate::beneath::{each_entry, locate_dir, open_dir, open_dir_same_device, open_root};

/// The directory for temporary files, inside each work directory.
pub const TEMPORARY_DIR: &str = ".tmp";

const PRIVATE: Mode = Mode::RWXU;
/// A directory deeper than this is moved to the top before it is removed, so that few descriptors are open.
const DEPTH_MAX: usize = 32;
/// Passes over one work directory; each removes all that is not deeper than [`DEPTH_MAX`].
const PASSES_MAX: usize = 100_000;

/// The directory in which all work directories of an agent stand.
#[derive(Debug)]
pub struct WorkRoot {
    dir: OwnedFd,
    path: PathBuf,
}

/// The work directory of one attempt, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    /// The job's id.
    pub job: String,
    /// The attempt's number.
    pub attempt: u32,
}

impl WorkRoot {
    /// Opens the root, and makes it (0700) if it is missing.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let path = path.canonicalize()?;
        let dir = open_root(&path)?;
        rustix::fs::fchmod(&dir, PRIVATE)?;
        Ok(Self { dir, path })
    }

    /// Makes the empty work directory of one attempt. One that exists already is an error.
    pub fn create(&self, job: &str, attempt: u32) -> io::Result<PathBuf> {
        let name = name(job, attempt)?;
        mkdirat(&self.dir, &name, PRIVATE)?;
        mkdirat(&self.dir, format!("{name}/{TEMPORARY_DIR}"), PRIVATE)?;
        Ok(self.path.join(name))
    }

    /// Removes the work directory of one attempt with all that is in it. One that is gone is no error.
    pub fn remove(&self, job: &str, attempt: u32) -> io::Result<()> {
        remove_tree(self.dir.as_fd(), &name(job, attempt)?)
    }

    /// Lists the work directories that exist, sorted.
    pub fn leftovers(&self) -> io::Result<Vec<Leftover>> {
        let mut leftovers = Vec::new();
        // Opened anew, for a descriptor remembers how far it was read.
        let root = open_dir(&self.dir, ".")?;
        each_entry(root.as_fd(), |name, kind| {
            if kind == FileType::Directory {
                leftovers.extend(name.to_str().ok().and_then(parse));
            }
            Ok::<_, Errno>(())
        })?;
        leftovers.sort();
        Ok(leftovers)
    }
}

fn name(job: &str, attempt: u32) -> io::Result<String> {
    if job.is_empty() || job.starts_with('.') || job.contains(['/', '\0']) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a job id is one plain name",
        ));
    }
    Ok(format!("{job}.{attempt}"))
}

/// The inverse of [`name`], and of nothing else.
fn parse(directory: &str) -> Option<Leftover> {
    let (job, attempt) = directory.rsplit_once('.')?;
    let attempt = attempt.parse().ok()?;
    let same = name(job, attempt).is_ok_and(|name| name == directory);
    same.then(|| Leftover {
        job: job.to_owned(),
        attempt,
    })
}

fn remove_tree(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let removed = |result| match result {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(io::Error::from(errno)),
    };
    for pass in 0..PASSES_MAX {
        if removed(unlinkat(parent, name, AtFlags::REMOVEDIR))? {
            return Ok(());
        }
        let top = open_for_removal(parent, name)?;
        Removal {
            top: top.as_fd(),
            pass,
            moved: 0,
        }
        .empty(top.as_fd(), 0)?;
    }
    Err(io::Error::new(
        io::ErrorKind::DirectoryNotEmpty,
        "something keeps filling the work directory",
    ))
}

/// One pass over a tree.
struct Removal<'a> {
    top: BorrowedFd<'a>,
    pass: usize,
    moved: usize,
}

impl Removal<'_> {
    /// Removes everything in `dir`, except that what is too deep is moved up to be found by the next pass.
    fn empty(&mut self, dir: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        each_entry(dir, |name, kind| {
            if kind != FileType::Directory {
                return ignore_missing(unlinkat(dir, name, AtFlags::empty()));
            }
            match unlinkat(dir, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => self.remove_full(dir, name, depth + 1),
                result => ignore_missing(result),
            }
        })
    }

    fn remove_full(&mut self, dir: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
        let full = open_for_removal(dir, name)?;
        if depth >= DEPTH_MAX {
            self.moved += 1;
            let above = format!(".deep-{}-{}", self.pass, self.moved);
            return match renameat(dir, name, self.top, above) {
                // The job made something of that name; the next pass uses another one.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(()),
                result => ignore_missing(result),
            };
        }
        self.empty(full.as_fd(), depth)?;
        drop(full);
        match unlinkat(dir, name, AtFlags::REMOVEDIR) {
            // Filled again by a process that escaped; the next pass looks again.
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            result => ignore_missing(result),
        }
    }
}

/// Opens a directory and makes sure that its entries may be listed and removed.
fn open_for_removal(parent: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy) -> io::Result<OwnedFd> {
    let dir = match open_dir_same_device(parent, name) {
        Err(Errno::ACCESS) => {
            // An unreadable directory cannot be opened, and so not be changed, but by way of its name in /proc.
            let located = locate_dir(parent, name)?;
            rustix::fs::chmod(format!("/proc/self/fd/{}", located.as_raw_fd()), PRIVATE)?;
            open_dir_same_device(parent, name)?
        }
        result => result?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&dir)?.st_mode);
    if !mode.contains(PRIVATE) {
        rustix::fs::fchmod(&dir, PRIVATE)?;
    }
    Ok(dir)
}

fn ignore_missing(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests;
