//! Removes the temporary files of uploads that nobody will finish.
//!
//! A process that dies in an upload leaves its temporary file. Age tells it from a live one: a file that nothing was
//! written to for [`LEFTOVER_AGE`] goes, unless its lock shows that a resumable upload still has it open.

use std::fs::{self, DirEntry, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::error::VaultError;
use crate::partial;

/// How long an unfinished upload is kept after its last write: a day, so that an evening's upload goes on at breakfast.
pub const LEFTOVER_AGE: Duration = Duration::from_hours(24);

/// Removes the leftovers in `tmp` as of `now`.
pub(crate) fn sweep(tmp: &Path, now: SystemTime) -> Result<(), VaultError> {
    let swept = fs::read_dir(tmp).and_then(|entries| {
        for entry in entries {
            match remove_if_left(&entry?, now) {
                // Finished or swept by another process at this moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done?,
            }
        }
        Ok(())
    });
    swept.map_err(VaultError::at("clear", tmp))
}

fn remove_if_left(entry: &DirEntry, now: SystemTime) -> io::Result<()> {
    let found = entry.metadata()?;
    // A file from the future (a clock was set back) has no age and stays.
    let age = now.duration_since(found.modified()?).unwrap_or_default();
    if !found.is_file() || age < LEFTOVER_AGE {
        return Ok(());
    }
    let path = entry.path();
    let file = File::open(&path)?;
    if partial::lock(&file)? && partial::is_named(&file, &path)? {
        fs::remove_file(&path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of_age(dir: &Path, name: &str, age: Duration, now: SystemTime) -> File {
        let file = File::create_new(dir.join(name)).unwrap();
        file.set_modified(now - age).unwrap();
        file
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn only_old_files_that_nobody_has_open_are_removed() {
        let tmp = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let second = Duration::from_secs(1);
        file_of_age(tmp.path(), "old", LEFTOVER_AGE + second, now);
        file_of_age(tmp.path(), "young", LEFTOVER_AGE - second, now);
        file_of_age(tmp.path(), "from-the-future", Duration::ZERO, now + second);
        let open = file_of_age(tmp.path(), "old-but-open", LEFTOVER_AGE + second, now);
        assert!(partial::lock(&open).unwrap());

        sweep(tmp.path(), now).unwrap();

        assert_eq!(names(tmp.path()), ["from-the-future", "old-but-open", "young"]);
    }
}
