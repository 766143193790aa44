//! Writing files beneath a directory, whatever paths a coordinator sends and whatever lies there already.
//!
//! Every directory on the way is opened from the one before it without following links, so no link can lead out, not
//! even one that is put there meanwhile. A file is written under a temporary name and renamed when it is whole.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use domain::spec::is_safe_path;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use ulid::Ulid;

use crate::failure::Failure;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);
/// Permissions before the umask.
const PLAIN_MODE: u32 = 0o666;
const EXECUTABLE_MODE: u32 = 0o777;

/// A directory that nothing written through it can leave.
pub(super) struct Beneath {
    root: OwnedFd,
}

/// A file that has no name yet. Dropped before it is put in place, it leaves nothing.
pub(super) struct Pending {
    directory: OwnedFd,
    file: File,
    temporary: String,
    name: String,
    path: String,
    placed: bool,
}

/// Why a file cannot be begun.
enum Obstacle {
    Unsafe(&'static str),
    System(Errno),
}

impl From<Errno> for Obstacle {
    fn from(why: Errno) -> Self {
        Self::System(why)
    }
}

impl Beneath {
    /// Opens the directory, made if it is not there.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub(super) fn open(directory: &Path) -> Result<Self, Failure> {
        let failed = |why| Failure::file("open", directory, why);
        std::fs::create_dir_all(directory).map_err(failed)?;
        // The directory itself is the user's word: it may be a link.
        let flags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
        let root = rustix::fs::open(directory, flags, Mode::empty()).map_err(|why| failed(why.into()))?;
        Ok(Self { root })
    }

    /// Begins a file at this path, directories on the way included.
    ///
    /// # Errors
    /// The path leads out, a link or another kind of file is in the way, or the system refuses.
    pub(super) fn begin(&self, path: &str, executable: bool) -> Result<Pending, Failure> {
        self.find_place(path, executable)
            .map_err(|obstacle| match obstacle {
                Obstacle::Unsafe(why) => Failure::UnsafeArtifact {
                    path: path.escape_debug().to_string(),
                    why,
                },
                Obstacle::System(why) => Failure::file("write", path, why.into()),
            })
    }

    fn find_place(&self, path: &str, executable: bool) -> Result<Pending, Obstacle> {
        if !is_safe_path(path) {
            return Err(Obstacle::Unsafe("it leads out of the directory"));
        }
        let mut parents: Vec<&str> = path.split('/').collect();
        let name = parents.pop().unwrap_or(path);
        let mut directory = rustix::io::fcntl_dupfd_cloexec(&self.root, 0)?;
        for part in parents {
            directory = enter(&directory, part)?;
        }
        refuse_special(&directory, name)?;
        let mode = Mode::from_raw_mode(if executable { EXECUTABLE_MODE } else { PLAIN_MODE });
        let temporary = format!(".hiveforge-{}", Ulid::generate());
        let file = rustix::fs::openat(&directory, temporary.as_str(), NEW_FILE, mode)?;
        Ok(Pending {
            file: file.into(),
            directory,
            temporary,
            name: name.to_owned(),
            path: path.to_owned(),
            placed: false,
        })
    }
}

/// Opens a directory in a directory, made if it is not there.
fn enter(directory: &OwnedFd, part: &str) -> Result<OwnedFd, Obstacle> {
    match rustix::fs::mkdirat(directory, part, Mode::from_raw_mode(EXECUTABLE_MODE)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(why) => return Err(why.into()),
    }
    match rustix::fs::openat(directory, part, DIRECTORY, Mode::empty()) {
        Ok(opened) => Ok(opened),
        Err(Errno::LOOP | Errno::NOTDIR) => Err(Obstacle::Unsafe(
            "a link or a file is in the place of a directory",
        )),
        Err(why) => Err(why.into()),
    }
}

/// Only a regular file may be replaced.
fn refuse_special(directory: &OwnedFd, name: &str) -> Result<(), Obstacle> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile => {
            Err(Obstacle::Unsafe("a link or directory of that name is there"))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

impl Pending {
    /// Where its content goes.
    pub(super) const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives it its name; a regular file of that name is replaced.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn put_in_place(mut self) -> Result<(), Failure> {
        rustix::fs::renameat(
            &self.directory,
            self.temporary.as_str(),
            &self.directory,
            self.name.as_str(),
        )
        .map_err(|why| Failure::file("write", &self.path, io::Error::from(why)))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed is at worst a hidden file beneath the user's directory.
            match rustix::fs::unlinkat(&self.directory, self.temporary.as_str(), AtFlags::empty()) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn write(directory: &Path, path: &str, executable: bool) -> Result<(), Failure> {
        let mut pending = Beneath::open(directory)?.begin(path, executable)?;
        pending.file().write_all(b"new").unwrap();
        pending.put_in_place()
    }

    fn refused(directory: &Path, path: &str) {
        let result = write(directory, path, false);
        assert!(
            matches!(result, Err(Failure::UnsafeArtifact { .. })),
            "{path}: {result:?}"
        );
    }

    #[test]
    fn files_and_their_directories_appear_with_the_executable_bit() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new/dir");
        write(&target, "bin/app", true).unwrap();
        write(&target, "readme", false).unwrap();
        write(&target, "readme", false).unwrap();
        assert_eq!(std::fs::read(target.join("bin/app")).unwrap(), b"new");
        let mode = |path| std::fs::metadata(target.join(path)).unwrap().permissions().mode() & 0o100;
        assert_eq!((mode("bin/app"), mode("readme")), (0o100, 0));
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("into");
        for path in ["../x", "/x", "a/../../x", "", "a//b", "./x", "a\0b"] {
            refused(&target, path);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (target, outside) = (dir.path().join("into"), dir.path().join("outside"));
        std::fs::create_dir(&target).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("precious"), "old").unwrap();
        symlink(&outside, target.join("link")).unwrap();
        symlink(outside.join("precious"), target.join("file")).unwrap();
        symlink(outside.join("absent"), target.join("dangling")).unwrap();
        for path in ["link/precious", "link/new", "file", "dangling", "link"] {
            refused(&target, path);
        }
        assert_eq!(std::fs::read(outside.join("precious")).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_not_whole_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(Beneath::open(dir.path()).unwrap().begin("x", false).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
