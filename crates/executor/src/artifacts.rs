//! The collection of a job's artifacts, after all of its processes are dead.
//!
//! Patterns are checked as text, the tree is walked without following a link, and what matches is listed with
//! its size before anything is read. [`Artifacts::open`] then opens one file at a time and looks at the opened
//! descriptor itself: it is a regular file beneath the work directory, and the one that was listed, or refused.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::beneath::{self, RelativePath};
use crate::workdir::TEMPORARY_DIR;

mod patterns;

pub use patterns::{PatternError, Patterns};

/// How much one job may hand over, and how far is looked for it.
#[derive(Debug, Clone, Copy)]
pub struct ArtifactLimits {
    /// Files in all.
    pub files: usize,
    /// Bytes of all files together, as their sizes say, so that a sparse file counts in full.
    pub bytes: u64,
    /// Directory entries looked at.
    pub visited: usize,
}

/// What was found in one work directory.
#[derive(Debug)]
pub struct Artifacts {
    root: OwnedFd,
    /// The files that match, sorted by path.
    pub files: Vec<Artifact>,
    /// What matches too but is not handed over, sorted by path.
    pub refused: Vec<(String, Refusal)>,
    /// The patterns that no file matches, in their order.
    pub unmatched: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its path beneath the work directory.
    pub path: RelativePath,
    /// Its size in bytes.
    pub size: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
    device: u64,
    inode: u64,
}

/// Why something that matches is not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A symbolic link.
    #[error("hand over a symbolic link")]
    Link,
    /// A pipe, a socket or a device.
    #[error("hand over what is no regular file")]
    Special,
    /// Its name is not UTF-8, or it lies too deep for a path.
    #[error("hand over a file of this name")]
    Name,
    /// It may not be read, or not now.
    #[error("hand over what may not be read")]
    Unreadable,
    /// It is not what was listed: something still writes to the work directory.
    #[error("hand over what changed while it was collected")]
    Changed,
}

/// Why nothing was collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// More files match than may be handed over.
    #[error("collect more than {max} artifacts")]
    TooManyFiles {
        /// [`ArtifactLimits::files`]
        max: usize,
    },
    /// The files that match are larger than may be handed over.
    #[error("collect artifacts of more than {max} bytes")]
    TooManyBytes {
        /// [`ArtifactLimits::bytes`]
        max: u64,
    },
    /// The work directory is larger than is searched.
    #[error("search more than {max} directory entries for artifacts")]
    TooManyEntries {
        /// [`ArtifactLimits::visited`]
        max: usize,
    },
    /// The kernel refused to list the work directory.
    #[error("search the work directory for artifacts")]
    Search(#[source] io::Error),
}

impl From<Errno> for CollectError {
    fn from(errno: Errno) -> Self {
        Self::Search(errno.into())
    }
}

impl Artifacts {
    /// Lists what matches. Everything in the directory for temporary files is left out.
    pub fn find(workdir: &Path, patterns: &Patterns, limits: &ArtifactLimits) -> Result<Self, CollectError> {
        let root = beneath::open_root(workdir)?;
        let mut search = Search {
            patterns,
            limits,
            visited: 0,
            bytes: 0,
            matched: vec![false; patterns.texts().len()],
            files: BTreeMap::new(),
            refused: BTreeMap::new(),
        };
        search.walk(&root)?;
        let texts = patterns.texts().iter().zip(search.matched);
        Ok(Self {
            root,
            files: search.files.into_values().collect(),
            refused: search.refused.into_iter().collect(),
            unmatched: texts
                .filter(|(_, matched)| !matched)
                .map(|(text, _)| text.clone())
                .collect(),
        })
    }

    /// Opens a listed file for reading. Reading gives [`Artifact::size`] bytes unless something still writes.
    pub fn open(&self, artifact: &Artifact) -> Result<File, Refusal> {
        let file = beneath::open_file(&self.root, artifact.path.as_str());
        let file = file.map_err(|errno| {
            if swapped(errno) {
                Refusal::Changed
            } else {
                Refusal::Unreadable
            }
        })?;
        let stat = rustix::fs::fstat(&file).map_err(|_| Refusal::Changed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Refusal::Special);
        }
        if Artifact::new(artifact.path.clone(), &stat) != *artifact {
            return Err(Refusal::Changed);
        }
        Ok(file.into())
    }
}

impl Artifact {
    fn new(path: RelativePath, stat: &Stat) -> Self {
        Self {
            path,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            executable: stat.st_mode & 0o100 != 0,
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

struct Search<'a> {
    patterns: &'a Patterns,
    limits: &'a ArtifactLimits,
    visited: usize,
    bytes: u64,
    matched: Vec<bool>,
    files: BTreeMap<RelativePath, Artifact>,
    refused: BTreeMap<String, Refusal>,
}

impl Search<'_> {
    /// One directory after the other, each opened by its whole path, so that the depth costs no descriptors.
    fn walk(&mut self, root: &OwnedFd) -> Result<(), CollectError> {
        let mut to_do = vec![String::new()];
        while let Some(path) = to_do.pop() {
            let refusal = match beneath::open_dir(root, if path.is_empty() { "." } else { path.as_str() }) {
                Ok(dir) => {
                    self.list(&dir, &path, &mut to_do)?;
                    continue;
                }
                Err(Errno::ACCESS) => Refusal::Unreadable,
                Err(errno) if swapped(errno) => Refusal::Changed,
                Err(errno) => return Err(errno.into()),
            };
            self.refused.insert(path, refusal);
        }
        Ok(())
    }

    fn list(&mut self, dir: &OwnedFd, path: &str, to_do: &mut Vec<String>) -> Result<(), CollectError> {
        beneath::each_entry(dir.as_fd(), |name, kind| {
            self.visited += 1;
            if self.visited > self.limits.visited {
                return Err(CollectError::TooManyEntries {
                    max: self.limits.visited,
                });
            }
            let full = match path {
                "" => name.to_string_lossy().into_owned(),
                _ => format!("{path}/{}", name.to_string_lossy()),
            };
            let checked = RelativePath::parse(&full).ok().filter(|_| name.to_str().is_ok());
            if kind != FileType::Directory {
                return self.consider((dir, name), kind, full, checked);
            }
            if full != TEMPORARY_DIR && self.patterns.may_match_beneath(&full) {
                match checked {
                    Some(_) => to_do.push(full),
                    None => drop(self.refused.insert(full, Refusal::Name)),
                }
            }
            Ok(())
        })
    }

    /// Adds what is no directory to the files or to what is refused, if it matches.
    fn consider(
        &mut self,
        (dir, name): (&OwnedFd, &CStr),
        kind: FileType,
        full: String,
        checked: Option<RelativePath>,
    ) -> Result<(), CollectError> {
        let matches = self.patterns.matches(&full);
        if matches.is_empty() {
            return Ok(());
        }
        let refusal = match (kind, checked) {
            (FileType::RegularFile, Some(path)) => {
                match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => {
                        matches.into_iter().for_each(|index| self.matched[index] = true);
                        return self.add(Artifact::new(path, &stat));
                    }
                    Err(errno) if swapped(errno) => Refusal::Changed,
                    Err(errno) => return Err(errno.into()),
                }
            }
            (FileType::RegularFile, None) => Refusal::Name,
            (FileType::Symlink, _) => Refusal::Link,
            _ => Refusal::Special,
        };
        self.refused.insert(full, refusal);
        Ok(())
    }

    fn add(&mut self, artifact: Artifact) -> Result<(), CollectError> {
        self.bytes = self.bytes.saturating_add(artifact.size);
        if self.bytes > self.limits.bytes {
            return Err(CollectError::TooManyBytes {
                max: self.limits.bytes,
            });
        }
        if self.files.len() >= self.limits.files {
            return Err(CollectError::TooManyFiles {
                max: self.limits.files,
            });
        }
        self.files.insert(artifact.path.clone(), artifact);
        Ok(())
    }
}

/// Whether an error says that something else stands where a file or directory was seen a moment ago.
fn swapped(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NXIO
    )
}

#[cfg(test)]
mod tests;
