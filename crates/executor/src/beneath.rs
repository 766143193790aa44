//! Paths beneath a work directory, and the opening of them without being led out of it.
//!
//! A job may have put anything into its directory: links to the agent's secrets, pipes, mounts. So a path is
//! checked as text first and then resolved by the kernel from the directory's descriptor, which refuses every
//! link and every step upwards. Nothing in this crate opens a path in a work directory in another way.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Result;

/// The longest path that the kernel takes, with its terminating NUL.
const PATH_BYTES_MAX: usize = 4096 - 1;
/// The longest name that common file systems take.
const NAME_BYTES_MAX: usize = 255;
const DIRECTORY_BUFFER_BYTES: usize = 4 * 1024;

const INSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// A relative path that names something beneath a directory, as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath(String);

/// Why a text is no [`RelativePath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It starts with a slash.
    #[error("use an absolute path")]
    Absolute,
    /// A component is empty, `.` or `..`.
    #[error("use a path with an empty component, `.` or `..`")]
    Component,
    /// It contains a NUL.
    #[error("use a path with a NUL")]
    Nul,
    /// It, or one of its components, is longer than a file system takes.
    #[error("use a path of this length")]
    TooLong,
}

impl RelativePath {
    /// Checks a path as text; nothing need exist there.
    pub fn parse(text: &str) -> std::result::Result<Self, PathError> {
        if text.starts_with('/') {
            return Err(PathError::Absolute);
        }
        if text.contains('\0') {
            return Err(PathError::Nul);
        }
        if text
            .split('/')
            .any(|component| matches!(component, "" | "." | ".."))
        {
            return Err(PathError::Component);
        }
        if text.len() > PATH_BYTES_MAX || text.split('/').any(|component| component.len() > NAME_BYTES_MAX) {
            return Err(PathError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Opens the directory itself. Its path is the agent's, so links on the way are the owner's decision.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Opens a directory beneath `root`.
pub(crate) fn open_dir(root: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd> {
    open(
        root,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY,
        Mode::empty(),
        INSIDE,
    )
}

/// Opens a directory beneath `root` that is not the root of another file system.
pub(crate) fn open_dir_same_device(root: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    open(
        root,
        path,
        flags,
        Mode::empty(),
        INSIDE.union(ResolveFlags::NO_XDEV),
    )
}

/// Names a directory beneath `root` without the right to read it.
pub(crate) fn locate_dir(root: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd> {
    open(
        root,
        path,
        OFlags::PATH | OFlags::DIRECTORY,
        Mode::empty(),
        INSIDE.union(ResolveFlags::NO_XDEV),
    )
}

/// Opens a file beneath `root` for reading, without waiting for the writer of a pipe.
pub(crate) fn open_file(root: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd> {
    open(
        root,
        path,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
        INSIDE,
    )
}

/// Creates a file beneath `root` for writing. Whatever is there already, even a dangling link, is an error.
pub(crate) fn create_file(root: impl AsFd, path: impl rustix::path::Arg, mode: Mode) -> Result<OwnedFd> {
    open(
        root,
        path,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
        mode,
        INSIDE,
    )
}

fn open(
    root: impl AsFd,
    path: impl rustix::path::Arg,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    rustix::fs::openat2(
        root,
        path,
        flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        mode,
        resolve,
    )
}

/// Calls `visit` with the name and type of every entry of a directory, until it fails.
///
/// A file system that does not tell types in its directories is asked for each.
pub(crate) fn each_entry<E: From<rustix::io::Errno>>(
    dir: BorrowedFd<'_>,
    mut visit: impl FnMut(&CStr, FileType) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut buffer = [MaybeUninit::uninit(); DIRECTORY_BUFFER_BYTES];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        visit(name, kind)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_relative_path_is_one() {
        for good in ["a", "a/b", ".hidden", "a..b/...", "with space"] {
            assert_eq!(RelativePath::parse(good).map(|path| path.0), Ok(good.to_owned()));
        }
        for (bad, why) in [
            ("", PathError::Component),
            ("/etc/passwd", PathError::Absolute),
            ("../x", PathError::Component),
            ("a/../../x", PathError::Component),
            ("a//b", PathError::Component),
            ("a/", PathError::Component),
            ("./a", PathError::Component),
            ("a\0b", PathError::Nul),
        ] {
            assert_eq!(RelativePath::parse(bad), Err(why), "{bad:?}");
        }
        assert_eq!(RelativePath::parse(&"x".repeat(256)), Err(PathError::TooLong));
        assert_eq!(
            RelativePath::parse(&["x"; 2100].join("/")),
            Err(PathError::TooLong)
        );
    }
}
