//! Uploads that break off and go on.

use std::fs;
use std::time::{Duration, SystemTime};

use domain::Digest;
use vault::{LEFTOVER_AGE, Vault, VaultError};

use crate::{Home, NOTHING, put};

/// Writes the first bytes of a resumable upload of `digest` and breaks off.
fn break_off(vault: &Vault, digest: Digest, content: &[u8]) {
    let mut upload = vault.begin_resumable(digest).unwrap();
    upload.write(content).unwrap();
}

#[test]
fn a_broken_upload_goes_on_where_it_stopped() {
    let home = Home::new();
    let digest = Digest::of(b"hello world");
    assert_eq!(home.vault.resume_offset(digest).unwrap(), 0);
    break_off(&home.vault, digest, b"hello ");
    assert_eq!(home.vault.resume_offset(digest).unwrap(), 6);

    // Another process, as far as the vault can tell.
    let vault = Vault::open(home.dir.path()).unwrap();
    let mut upload = vault.begin_resumable(digest).unwrap();
    assert_eq!(upload.offset(), 6);
    upload.write(b"world").unwrap();
    assert_eq!(upload.finish(None).unwrap().size, 11);
    assert_eq!(home.files(), [home.blob(digest)]);
}

#[test]
fn a_resumed_upload_of_other_content_is_refused_and_leaves_nothing() {
    let home = Home::new();
    let digest = Digest::of(b"hello world");
    break_off(&home.vault, digest, b"hullo ");
    let mut upload = home.vault.begin_resumable(digest).unwrap();
    upload.write(b"world").unwrap();
    let refused = upload.finish(Some(digest)).unwrap_err();
    assert!(
        matches!(refused, VaultError::Mismatch { announced, .. } if announced == digest),
        "{refused:?}"
    );
    assert_eq!(home.files(), NOTHING, "the next try starts at the first byte");
}

#[test]
fn a_restarted_upload_forgets_what_was_there() {
    let home = Home::new();
    let digest = Digest::of(b"hello world");
    break_off(&home.vault, digest, b"something else");
    let mut upload = home.vault.begin_resumable(digest).unwrap();
    upload.restart().unwrap();
    assert_eq!(upload.offset(), 0);
    upload.write(b"hello world").unwrap();
    assert_eq!(upload.finish(None).unwrap().digest, digest);
}

#[test]
fn one_digest_has_one_resumable_upload_at_a_time() {
    let home = Home::new();
    let digest = Digest::of(b"hello world");
    let first = home.vault.begin_resumable(digest).unwrap();
    let refused = home.vault.begin_resumable(digest).unwrap_err();
    assert!(
        matches!(refused, VaultError::Busy { digest: busy } if busy == digest),
        "{refused:?}"
    );
    drop(first);
    assert_eq!(home.vault.begin_resumable(digest).unwrap().offset(), 0);
}

#[test]
fn a_resumed_upload_may_meet_the_blob_that_another_one_stored_meanwhile() {
    let home = Home::new();
    let digest = Digest::of(b"hello world");
    let mut upload = home.vault.begin_resumable(digest).unwrap();
    upload.write(b"hello world").unwrap();
    put(&home.vault, b"hello world").unwrap();
    assert_eq!(upload.finish(None).unwrap().size, 11);
    assert_eq!(home.files(), [home.blob(digest)]);
}

#[test]
fn a_resumable_upload_over_the_limit_is_not_kept() {
    let home = Home::new();
    let vault = home.vault.clone().with_blob_bytes_max(4);
    let mut upload = vault.begin_resumable(Digest::of(b"hello")).unwrap();
    upload.write(b"hell").unwrap();
    let refused = upload.write(b"o").unwrap_err();
    assert!(
        matches!(refused, VaultError::TooLarge { bytes_max: 4 }),
        "{refused:?}"
    );
    drop(upload);
    assert_eq!(home.files(), NOTHING);
}

#[test]
fn opening_the_vault_removes_what_nobody_will_finish() {
    let home = Home::new();
    let (old, young) = (Digest::of(b"old"), Digest::of(b"young"));
    break_off(&home.vault, old, b"o");
    break_off(&home.vault, young, b"y");
    let partial = home.dir.path().join("tmp").join(format!("{old}.partial"));
    let long_ago = SystemTime::now() - LEFTOVER_AGE - Duration::from_secs(60);
    fs::File::open(partial).unwrap().set_modified(long_ago).unwrap();

    let vault = Vault::open(home.dir.path()).unwrap();

    assert_eq!(vault.resume_offset(old).unwrap(), 0);
    assert_eq!(vault.resume_offset(young).unwrap(), 1);
}
