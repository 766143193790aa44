//! The work directories of jobs that leave a mess behind.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use tempfile::TempDir;

use super::*;

fn root() -> (TempDir, WorkRoot) {
    let dir = TempDir::new().unwrap();
    let root = WorkRoot::open(&dir.path().join("work")).unwrap();
    (dir, root)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_work_directory_is_private_new_and_has_a_place_for_temporary_files() {
    let (_dir, root) = root();
    let path = root.create("job", 1).unwrap();
    assert!(path.ends_with("work/job.1"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(names(&path), [TEMPORARY_DIR]);
    assert_eq!(
        root.create("job", 1).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
}

#[test]
fn removing_one_attempt_leaves_the_other() {
    let (_dir, root) = root();
    root.create("job", 1).unwrap();
    let second = root.create("job", 2).unwrap();
    root.remove("job", 1).unwrap();
    assert!(second.is_dir());
    root.remove("job", 2).unwrap();
    assert_eq!(names(&root.path), [""; 0]);
    root.remove("job", 2).unwrap();
}

#[test]
fn a_job_id_is_one_plain_name() {
    let (_dir, root) = root();
    for bad in ["", ".", "..", ".a", "a/b", "../x", "a\0"] {
        assert_eq!(
            root.create(bad, 1).unwrap_err().kind(),
            io::ErrorKind::InvalidInput,
            "{bad:?}"
        );
        assert_eq!(
            root.remove(bad, 1).unwrap_err().kind(),
            io::ErrorKind::InvalidInput,
            "{bad:?}"
        );
    }
}

#[test]
fn removal_follows_no_link() {
    let (dir, root) = root();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "").unwrap();
    let path = root.create("job", 1).unwrap();
    symlink(&outside, path.join("dir-link")).unwrap();
    symlink(outside.join("precious"), path.join("file-link")).unwrap();
    root.remove("job", 1).unwrap();
    assert_eq!(names(&outside), ["precious"]);

    symlink(&outside, root.path.join("swapped.1")).unwrap();
    assert!(root.remove("swapped", 1).is_err());
    assert_eq!(names(&outside), ["precious"]);
}

#[test]
fn read_only_and_unreadable_trees_are_removed() {
    let (_dir, root) = root();
    let path = root.create("job", 1).unwrap();
    let (sealed, inner) = (path.join("sealed"), path.join("sealed/inner"));
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("file"), "").unwrap();
    for (dir, mode) in [(&inner, 0o000), (&sealed, 0o555)] {
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
    }
    root.remove("job", 1).unwrap();
    assert_eq!(names(&root.path), [""; 0]);
}

#[test]
fn a_tree_deeper_than_any_path_is_removed_with_few_descriptors() {
    let (_dir, root) = root();
    let path = root.create("job", 1).unwrap();
    let mut deepest = open_root(&path).unwrap();
    for _ in 0..3000 {
        mkdirat(&deepest, "down", PRIVATE).unwrap();
        deepest = open_dir(&deepest, "down").unwrap();
    }
    root.remove("job", 1).unwrap();
    assert_eq!(names(&root.path), [""; 0]);
}

#[test]
fn leftovers_are_listed_and_strange_names_are_not() {
    let (_dir, root) = root();
    root.create("b", 2).unwrap();
    root.create("b", 10).unwrap();
    root.create("a", 1).unwrap();
    for strange in ["notes", "a.x", "a.-1", "a.+2", "a.01", ".5", "a."] {
        fs::create_dir(root.path.join(strange)).unwrap();
    }
    fs::write(root.path.join("file.1"), "").unwrap();
    let found: Vec<_> = root
        .leftovers()
        .unwrap()
        .into_iter()
        .map(|left| (left.job, left.attempt))
        .collect();
    assert_eq!(
        found,
        [("a".to_owned(), 1), ("b".to_owned(), 2), ("b".to_owned(), 10)]
    );
    assert_eq!(root.leftovers().unwrap().len(), 3);
}
