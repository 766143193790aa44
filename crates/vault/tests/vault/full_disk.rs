//! A full disk, for real: a file system in memory with room for a few blocks.
//!
//! Mounting needs root and the right to mount. Without them the test says why it is skipped, but never in CI.

use std::path::Path;
use std::process::{Command, Output};

use domain::Digest;
use tempfile::TempDir;
use vault::{Vault, VaultError};

use crate::{NOTHING, bytes, files_below, put};

/// Room for the directories of a vault and a few hundred kilobytes more.
const DISK_BYTES: usize = 512 << 10;

/// A mounted file system, gone when dropped.
struct SmallDisk {
    mountpoint: TempDir,
}

impl SmallDisk {
    fn mount() -> Result<Self, String> {
        let mountpoint = tempfile::tempdir().unwrap();
        let options = format!("size={DISK_BYTES}");
        let mounted = run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "tmpfs"],
            mountpoint.path(),
        );
        match mounted {
            Ok(output) if output.status.success() => Ok(Self { mountpoint }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = run("umount", &["--lazy"], self.mountpoint.path());
        assert!(
            unmounted.is_ok_and(|output| output.status.success()),
            "the mount is left behind"
        );
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "mount(8) is outside of what the executor runs"
)]
fn run(program: &str, arguments: &[&str], path: &Path) -> std::io::Result<Output> {
    Command::new(program).args(arguments).arg(path).output()
}

#[test]
fn a_full_disk_is_a_typed_error_that_leaves_room_for_the_next_upload() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(reason) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI must be able to mount: {reason}"
            );
            eprintln!("skipped, mounting is not permitted: {reason}");
            return;
        }
    };
    let vault = Vault::open(disk.mountpoint.path()).unwrap();
    let too_much = bytes(2 * DISK_BYTES);

    let refused = put(&vault, &too_much).unwrap_err();
    assert!(matches!(refused, VaultError::Full { .. }), "{refused:?}");
    assert_eq!(files_below(disk.mountpoint.path()), NOTHING);
    assert_eq!(put(&vault, b"small").unwrap().size, 5);

    let digest = Digest::of(&too_much);
    let mut upload = vault.begin_resumable(digest).unwrap();
    let refused = upload.write(&too_much).unwrap_err();
    assert!(matches!(refused, VaultError::Full { .. }), "{refused:?}");
    let stored = upload.offset();
    drop(upload);
    assert!(stored > 0);
    assert_eq!(
        vault.resume_offset(digest).unwrap(),
        stored,
        "the offset counts what the disk took"
    );
}
