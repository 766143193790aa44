//! The way out: nobody gets the last byte of a damaged blob.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use domain::Digest;
use proptest::prelude::*;
use vault::VaultError;

use crate::{Home, bytes, put};

fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_on_the_last_read() {
    for index in [0, 499, 999] {
        let home = Home::new();
        let digest = put(&home.vault, &bytes(1000)).unwrap().digest;
        home.flip_bit(digest, index);
        let mut blob = home.vault.open_blob(digest).unwrap();
        let mut buffer = [0; 100];
        for _ in 0..9 {
            blob.read_exact(&mut buffer).unwrap();
        }
        // Exactly the last bytes: a caller that counts would never ask for the end.
        let refused = blob.read_exact(&mut buffer).unwrap_err();
        assert!(is_damage(&refused), "{refused:?}");
        assert!(
            is_damage(&blob.read(&mut buffer).unwrap_err()),
            "a damaged blob never ends cleanly"
        );
    }
}

#[test]
fn a_blob_that_lost_its_end_is_damaged_even_when_nothing_is_left() {
    let home = Home::new();
    let digest = put(&home.vault, b"abc").unwrap().digest;
    for left in ["ab", ""] {
        std::fs::write(home.blob(digest), left).unwrap();
        let mut content = Vec::new();
        let refused = home
            .vault
            .open_blob(digest)
            .unwrap()
            .read_to_end(&mut content)
            .unwrap_err();
        assert!(is_damage(&refused), "{refused:?}");
    }
}

#[test]
fn a_blob_that_shrinks_while_it_is_read_is_damaged() {
    let home = Home::new();
    let digest = put(&home.vault, b"abc").unwrap().digest;
    let mut blob = home.vault.open_blob(digest).unwrap();
    std::fs::write(home.blob(digest), "ab").unwrap();
    let refused = blob.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(is_damage(&refused), "{refused:?}");
}

#[test]
fn seeking_to_the_end_verifies_everything_before_it() {
    let home = Home::new();
    let digest = put(&home.vault, &bytes(1000)).unwrap().digest;
    home.flip_bit(digest, 3);
    let refused = home
        .vault
        .open_blob(digest)
        .unwrap()
        .seek(SeekFrom::End(0))
        .unwrap_err();
    assert!(is_damage(&refused), "{refused:?}");
}

#[test]
fn a_place_behind_the_end_cannot_be_reached() {
    let home = Home::new();
    let digest = put(&home.vault, b"abc").unwrap().digest;
    let mut blob = home.vault.open_blob(digest).unwrap();
    assert_eq!(
        blob.seek(SeekFrom::Start(4)).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
    assert_eq!(
        blob.seek(SeekFrom::Current(-1)).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
}

#[test]
fn a_range_is_cut_at_the_end_of_the_blob() {
    let home = Home::new();
    let digest = put(&home.vault, b"hello world").unwrap().digest;
    for (range, expected) in [(0..5, "hello"), (6..100, "world"), (11..12, ""), (3..3, "")] {
        let mut part = String::new();
        home.vault
            .open_range(digest, range)
            .unwrap()
            .read_to_string(&mut part)
            .unwrap();
        assert_eq!(part, expected);
    }
    let refused = home.vault.open_range(digest, 12..13).unwrap_err();
    assert!(
        matches!(refused, VaultError::OutOfRange { start: 12, size: 11 }),
        "{refused:?}"
    );
}

#[test]
fn a_blob_that_is_not_here_is_missing() {
    let home = Home::new();
    let digest = Digest::of(b"abc");
    assert_eq!(home.vault.size(digest).unwrap(), None);
    let missing = home.vault.open_blob(digest).unwrap_err();
    assert!(
        matches!(missing, VaultError::Missing { digest: named } if named == digest),
        "{missing:?}"
    );
}

/// A disk that is not mounted has no blobs either, and it would be wrong to call a job's inputs lost.
#[test]
fn a_vault_that_has_gone_does_not_call_its_blobs_missing() {
    let home = Home::new();
    let digest = put(&home.vault, b"abc").unwrap().digest;
    let away = home.dir.path().with_extension("away");
    fs::rename(home.dir.path(), &away).unwrap();
    let opened = home.vault.open_blob(digest).unwrap_err();
    assert!(matches!(opened, VaultError::Io { .. }), "{opened:?}");
    let asked = home.vault.has(digest).unwrap_err();
    assert!(matches!(asked, VaultError::Io { .. }), "{asked:?}");
    fs::rename(&away, home.dir.path()).unwrap();
    assert!(home.vault.has(digest).unwrap());
}

#[test]
fn any_walk_through_a_blob_reads_what_was_stored() {
    let home = Home::new();
    let some_content = prop::collection::vec(any::<u8>(), 1..500);
    let some_steps = prop::collection::vec((0..500_usize, 1..200_usize), 1..20);
    proptest!(|(content in some_content, steps in some_steps)| {
        let mut blob = home.vault.open_blob(put(&home.vault, &content).unwrap().digest).unwrap();
        for (start, length) in steps {
            let start = start.min(content.len());
            blob.seek(SeekFrom::Start(start as u64)).unwrap();
            let mut part = Vec::new();
            blob.by_ref().take(length as u64).read_to_end(&mut part).unwrap();
            prop_assert_eq!(&part, &content[start..(start + length).min(content.len())]);
        }
    });
}
