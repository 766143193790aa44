//! The placing of a job's inputs into its work directory, before it starts.
//!
//! An input is a path and its bytes. The path comes from whoever submitted the job, so it cannot lead out of the
//! directory, through a link, or onto something that is there already. The caller writes the bytes; where they
//! come from is not known here.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;

use crate::beneath::{self, RelativePath};

/// A work directory that inputs are placed into.
#[derive(Debug)]
pub struct Inputs {
    root: OwnedFd,
}

/// Why an input could not be placed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Something is there already: two inputs share the path, or a directory was made for another one.
    #[error("place the input `{}`: something is there already", path.as_str())]
    Occupied {
        /// Where to.
        path: RelativePath,
    },
    /// The kernel refused it: a parent is a file or a link, or the disk is full.
    #[error("place the input `{}`", path.as_str())]
    Refused {
        /// Where to.
        path: RelativePath,
        /// What it said.
        source: io::Error,
    },
}

impl Inputs {
    /// Opens the work directory.
    pub fn open(workdir: &Path) -> io::Result<Self> {
        Ok(Self {
            root: beneath::open_root(workdir)?,
        })
    }

    /// Makes the parent directories and the empty file, and returns it for writing.
    ///
    /// Not fsynced: a run does not survive the machine either.
    pub fn place(&self, path: &RelativePath, executable: bool) -> Result<File, PlaceError> {
        let mode = if executable { 0o755 } else { 0o644 };
        let file = self
            .make_parents(path)
            .and_then(|()| beneath::create_file(&self.root, path.as_str(), Mode::from_raw_mode(mode)));
        match file {
            Ok(file) => Ok(file.into()),
            Err(Errno::EXIST) => Err(PlaceError::Occupied { path: path.clone() }),
            Err(errno) => Err(PlaceError::Refused {
                path: path.clone(),
                source: errno.into(),
            }),
        }
    }

    /// Each directory is made in its opened parent, so that no link can stand in between.
    fn make_parents(&self, path: &RelativePath) -> rustix::io::Result<()> {
        let mut parent: Option<OwnedFd> = None;
        let mut components: Vec<&str> = path.as_str().split('/').collect();
        components.pop();
        for component in components {
            let within = parent.as_ref().unwrap_or(&self.root);
            match rustix::fs::mkdirat(within, component, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            parent = Some(beneath::open_dir(within, component)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).unwrap()
    }

    fn workdir() -> (TempDir, Inputs) {
        let dir = TempDir::new().unwrap();
        let inputs = Inputs::open(dir.path()).unwrap();
        (dir, inputs)
    }

    #[test]
    fn an_input_appears_with_its_parents_its_bytes_and_its_mode() {
        let (dir, inputs) = workdir();
        inputs
            .place(&path("src/bin/run"), true)
            .unwrap()
            .write_all(b"#!/bin/sh\n")
            .unwrap();
        inputs
            .place(&path("src/data"), false)
            .unwrap()
            .write_all(b"1")
            .unwrap();
        assert_eq!(fs::read(dir.path().join("src/bin/run")).unwrap(), b"#!/bin/sh\n");
        assert_eq!(fs::read(dir.path().join("src/data")).unwrap(), b"1");
        let executable =
            |name| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o111 != 0;
        assert!(executable("src/bin/run") && !executable("src/data"));
    }

    #[test]
    fn nothing_is_overwritten() {
        let (dir, inputs) = workdir();
        fs::write(dir.path().join("taken"), "before").unwrap();
        let refused = inputs.place(&path("taken"), false);
        assert!(matches!(refused, Err(PlaceError::Occupied { .. })), "{refused:?}");
        assert_eq!(fs::read(dir.path().join("taken")).unwrap(), b"before");
    }

    #[test]
    fn no_link_leads_an_input_astray() {
        let (dir, inputs) = workdir();
        let outside = TempDir::new().unwrap();
        symlink(outside.path(), dir.path().join("link")).unwrap();
        symlink(outside.path().join("new"), dir.path().join("dangling")).unwrap();
        for attack in ["link/x", "link/deep/x", "dangling"] {
            assert!(inputs.place(&path(attack), false).is_err(), "{attack}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
