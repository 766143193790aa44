//! Honest jobs and hostile ones, and what is taken from their directories.

use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;

const PLENTY: ArtifactLimits = ArtifactLimits {
    files: 100,
    bytes: 1 << 40,
    visited: 1000,
};

fn patterns(texts: &[&str]) -> Patterns {
    Patterns::parse(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap()
}

fn workdir(files: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    dir
}

fn find(dir: &TempDir, texts: &[&str]) -> Artifacts {
    Artifacts::find(dir.path(), &patterns(texts), &PLENTY).unwrap()
}

fn paths(artifacts: &Artifacts) -> Vec<&str> {
    artifacts.files.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn matching_files_come_sorted_once_and_with_what_they_hold() {
    let dir = workdir(&[
        "out/b.bin",
        "out/a.bin",
        "out/deep/c.bin",
        "out/a.txt",
        "top.bin",
        ".tmp/x.bin",
    ]);
    let found = find(&dir, &["out/*.bin", "out/a.*", "**/deep/**"]);
    assert_eq!(
        paths(&found),
        ["out/a.bin", "out/a.txt", "out/b.bin", "out/deep/c.bin"]
    );
    assert_eq!(
        (found.refused.as_slice(), found.unmatched.as_slice()),
        (&[][..], &[][..])
    );
    for artifact in &found.files {
        let mut text = String::new();
        found.open(artifact).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, artifact.path.as_str());
        assert_eq!(artifact.size, text.len() as u64);
    }
}

#[test]
fn the_executable_bit_is_kept() {
    let dir = workdir(&["run", "read"]);
    fs::set_permissions(dir.path().join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    let found = find(&dir, &["*"]);
    let bits: Vec<_> = found
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.executable))
        .collect();
    assert_eq!(bits, [("read", false), ("run", true)]);
}

#[test]
fn a_pattern_without_a_file_is_reported() {
    let dir = workdir(&["a"]);
    let found = find(&dir, &["a", "missing/*.bin", "b"]);
    assert_eq!(found.unmatched, ["missing/*.bin", "b"]);
}

#[test]
fn a_literal_pattern_does_not_search_the_whole_tree() {
    let dir = workdir(&["out/x/result"]);
    for number in 0..50 {
        fs::create_dir_all(dir.path().join(format!("cache/{number}"))).unwrap();
    }
    let limits = ArtifactLimits { visited: 5, ..PLENTY };
    let found = Artifacts::find(dir.path(), &patterns(&["out/x/result"]), &limits).unwrap();
    assert_eq!(paths(&found), ["out/x/result"]);
}

#[test]
fn a_pattern_cannot_name_the_outside() {
    for bad in ["/etc/*", "../*", "a/../../*", "", "a//b", "a/"] {
        let refused = Patterns::parse(&[bad.to_owned()]);
        assert!(
            matches!(refused, Err(PatternError::Path { .. })),
            "{bad:?}: {refused:?}"
        );
    }
    assert!(matches!(
        Patterns::parse(&["[".to_owned()]),
        Err(PatternError::Syntax { .. })
    ));
    assert!(matches!(
        Patterns::parse(&["x".repeat(2000)]),
        Err(PatternError::TooMany)
    ));
}

#[test]
fn braces_cannot_smuggle_the_outside_in() {
    let dir = workdir(&["in"]);
    let found = find(&dir, &["{..,.}/*", "{in,/etc/passwd}"]);
    assert_eq!(paths(&found), ["in"]);
}

#[test]
fn links_pipes_and_sockets_are_refused_by_name() {
    let dir = workdir(&["good"]);
    symlink("/etc/passwd", dir.path().join("passwd")).unwrap();
    symlink("good", dir.path().join("alias")).unwrap();
    symlink("/etc", dir.path().join("etc")).unwrap();
    let fifo = rustix::fs::CWD;
    rustix::fs::mkfifoat(fifo, dir.path().join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    let found = find(&dir, &["**"]);
    assert_eq!(paths(&found), ["good"]);
    let refused: Vec<_> = found
        .refused
        .iter()
        .map(|(path, why)| (path.as_str(), *why))
        .collect();
    assert_eq!(
        refused,
        [
            ("alias", Refusal::Link),
            ("etc", Refusal::Link),
            ("fifo", Refusal::Special),
            ("passwd", Refusal::Link),
            ("socket", Refusal::Special),
        ]
    );
}

#[test]
fn a_linked_directory_is_not_entered() {
    let dir = workdir(&["good"]);
    let outside = workdir(&["secret"]);
    symlink(outside.path(), dir.path().join("link")).unwrap();
    let found = find(&dir, &["link/*", "**/secret"]);
    assert_eq!(paths(&found), [""; 0]);
    assert_eq!(found.unmatched, ["link/*", "**/secret"]);
}

#[test]
fn what_is_swapped_between_listing_and_opening_is_refused() {
    let dir = workdir(&["a", "d/b", "c", "grown"]);
    let found = find(&dir, &["**"]);
    let path = |name: &str| dir.path().join(name);
    fs::remove_file(path("a")).unwrap();
    symlink("/etc/passwd", path("a")).unwrap();
    fs::rename(path("d"), path("e")).unwrap();
    symlink(path("e"), path("d")).unwrap();
    fs::remove_file(path("c")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path("c"), rustix::fs::Mode::RWXU).unwrap();
    fs::write(path("grown"), "longer than before").unwrap();
    let refusals: Vec<_> = found
        .files
        .iter()
        .map(|file| found.open(file).map(drop))
        .collect();
    let expected = [
        Refusal::Changed,
        Refusal::Special,
        Refusal::Changed,
        Refusal::Changed,
    ]
    .map(Err);
    assert_eq!(refusals, expected);
}

#[test]
fn a_name_that_is_no_text_is_refused() {
    let dir = workdir(&[]);
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"bad\xff.bin")), "").unwrap();
    let found = find(&dir, &["*.bin"]);
    assert_eq!(found.refused, [("bad\u{fffd}.bin".to_owned(), Refusal::Name)]);
}

#[test]
fn each_limit_has_its_own_error() {
    let dir = workdir(&["a", "b", "c"]);
    let collect =
        |limits| Artifacts::find(dir.path(), &patterns(&["*"]), &limits).map(|found| found.files.len());
    assert_eq!(
        collect(ArtifactLimits {
            files: 3,
            bytes: 3,
            visited: 3
        })
        .unwrap(),
        3
    );
    let files = collect(ArtifactLimits { files: 2, ..PLENTY });
    assert!(
        matches!(files, Err(CollectError::TooManyFiles { max: 2 })),
        "{files:?}"
    );
    let bytes = collect(ArtifactLimits { bytes: 2, ..PLENTY });
    assert!(
        matches!(bytes, Err(CollectError::TooManyBytes { max: 2 })),
        "{bytes:?}"
    );
    let entries = collect(ArtifactLimits { visited: 2, ..PLENTY });
    assert!(
        matches!(entries, Err(CollectError::TooManyEntries { max: 2 })),
        "{entries:?}"
    );
}

#[test]
fn a_sparse_file_counts_in_full() {
    let dir = workdir(&[]);
    File::create(dir.path().join("sparse"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let limits = ArtifactLimits {
        bytes: 1 << 20,
        ..PLENTY
    };
    let refused = Artifacts::find(dir.path(), &patterns(&["*"]), &limits);
    assert!(matches!(refused, Err(CollectError::TooManyBytes { .. })));
}
