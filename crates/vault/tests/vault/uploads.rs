//! The way in: atomic, verified, limited.

use std::io::Read as _;
use std::sync::Barrier;
use std::thread;

use domain::Digest;
use proptest::prelude::*;
use vault::{Stored, Vault, VaultError};

use crate::{Home, NOTHING, bytes, put};

fn read(vault: &Vault, digest: Digest) -> Vec<u8> {
    let mut content = Vec::new();
    vault
        .open_blob(digest)
        .unwrap()
        .read_to_end(&mut content)
        .unwrap();
    content
}

#[test]
fn a_blob_is_found_by_the_digest_of_its_content() {
    let home = Home::new();
    let stored = put(&home.vault, b"abc").unwrap();
    assert_eq!(
        stored,
        Stored {
            digest: Digest::of(b"abc"),
            size: 3
        }
    );
    assert!(home.vault.has(stored.digest).unwrap());
    assert_eq!(home.vault.size(stored.digest).unwrap(), Some(3));
    assert_eq!(read(&home.vault, stored.digest), b"abc");
    assert_eq!(
        home.files(),
        [home.blob(stored.digest)],
        "one file and no leftover"
    );
}

#[test]
fn an_empty_blob_is_a_blob() {
    let home = Home::new();
    let stored = put(&home.vault, b"").unwrap();
    assert_eq!(
        stored,
        Stored {
            digest: Digest::of(b""),
            size: 0
        }
    );
    assert_eq!(read(&home.vault, stored.digest), b"");
}

#[test]
fn a_blob_outlives_the_vault_that_took_it() {
    let home = Home::new();
    let stored = put(&home.vault, b"abc").unwrap();
    let reopened = Vault::open(home.dir.path()).unwrap();
    assert_eq!(read(&reopened, stored.digest), b"abc");
}

#[test]
fn the_same_content_twice_is_stored_once() {
    let home = Home::new();
    let first = put(&home.vault, b"abc").unwrap();
    let second = put(&home.vault, b"abc").unwrap();
    assert_eq!(first, second);
    assert_eq!(home.files(), [home.blob(first.digest)]);
}

#[test]
fn concurrent_uploads_of_the_same_content_are_all_acknowledged_and_leave_one_whole_blob() {
    const UPLOADS: usize = 8;
    let home = Home::new();
    let content = bytes(300_000);
    let start = Barrier::new(UPLOADS);
    let upload = || {
        let mut upload = home.vault.begin().unwrap();
        start.wait();
        for chunk in content.chunks(10_000) {
            upload.write(chunk).unwrap();
        }
        start.wait();
        upload.finish(Some(Digest::of(&content))).unwrap()
    };
    thread::scope(|scope| {
        let uploads: Vec<_> = (0..UPLOADS).map(|_| scope.spawn(upload)).collect();
        for upload in uploads {
            assert_eq!(
                upload.join().unwrap(),
                Stored {
                    digest: Digest::of(&content),
                    size: 300_000
                }
            );
        }
    });
    assert_eq!(home.files(), [home.blob(Digest::of(&content))]);
    assert_eq!(read(&home.vault, Digest::of(&content)), content);
}

#[test]
fn a_blob_is_invisible_until_it_is_finished() {
    let home = Home::new();
    let mut upload = home.vault.begin().unwrap();
    upload.write(b"abc").unwrap();
    assert!(!home.vault.has(Digest::of(b"abc")).unwrap());
    drop(upload);
    assert_eq!(
        home.files(),
        NOTHING,
        "an upload that was given up leaves nothing"
    );
}

#[test]
fn content_that_is_not_what_was_announced_is_refused_and_leaves_nothing() {
    let home = Home::new();
    let (announced, actual) = (Digest::of(b"abc"), Digest::of(b"abd"));
    let mut upload = home.vault.begin().unwrap();
    upload.write(b"abd").unwrap();
    let refused = upload.finish(Some(announced)).unwrap_err();
    assert!(
        matches!(refused, VaultError::Mismatch { announced: a, actual: b } if (a, b) == (announced, actual)),
        "{refused:?}"
    );
    assert_eq!(home.files(), NOTHING);
}

#[test]
fn content_over_the_limit_is_refused_and_leaves_nothing() {
    let home = Home::new();
    let vault = home.vault.clone().with_blob_bytes_max(10);
    assert_eq!(put(&vault, &bytes(10)).unwrap().size, 10);
    let mut upload = vault.begin().unwrap();
    upload.write(&bytes(10)).unwrap();
    let refused = upload.write(b"!").unwrap_err();
    assert!(
        matches!(refused, VaultError::TooLarge { bytes_max: 10 }),
        "{refused:?}"
    );
    drop(upload);
    assert_eq!(home.files(), [home.blob(Digest::of(&bytes(10)))]);
}

#[test]
fn a_blob_that_lost_its_end_is_healed_by_the_next_upload() {
    let home = Home::new();
    let stored = put(&home.vault, b"abc").unwrap();
    std::fs::write(home.blob(stored.digest), b"a").unwrap();
    put(&home.vault, b"abc").unwrap();
    assert_eq!(read(&home.vault, stored.digest), b"abc");
}

#[test]
fn how_content_is_cut_into_writes_does_not_matter() {
    let home = Home::new();
    let some_chunks = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10);
    proptest!(|(chunks in some_chunks)| {
        let mut upload = home.vault.begin().unwrap();
        for chunk in &chunks {
            upload.write(chunk).unwrap();
        }
        let content = chunks.concat();
        let stored = upload.finish(None).unwrap();
        prop_assert_eq!(stored, Stored { digest: Digest::of(&content), size: content.len() as u64 });
        prop_assert_eq!(read(&home.vault, stored.digest), content);
    });
}
