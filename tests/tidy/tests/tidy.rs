//! The repository keeps its own rules. Each failure names the place and the way out.

use std::path::{Path, PathBuf};

use tidy::{
    Package, Tree, abort, assert_tidy, forgotten, header, home, layers, lints, size, spawn, unfinished,
};

/// The root of the repository: this package lies two directories below it.
///
/// Asked when the test runs: clones that share a target directory share this binary, and `env!` would name the first.
fn root() -> PathBuf {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs this test");
    let root = Path::new(&package).ancestors().nth(2);
    root.expect("the package lies in the repository").to_owned()
}

fn tree() -> Tree {
    Tree::read(&root())
}

#[test]
fn packages_depend_on_lower_layers_only() {
    assert_tidy(&layers::check(&tree(), &Package::read_all(&root())));
}

#[test]
fn a_file_holds_one_concept() {
    assert_tidy(&size::check_files(&tree()));
}

#[test]
fn a_function_fits_on_a_screen() {
    assert_tidy(&size::check_functions(&tree()));
}

#[test]
fn no_file_is_forgotten() {
    assert_tidy(&forgotten::check(&tree()));
}

#[test]
fn a_panic_unwinds() {
    assert_tidy(&abort::check(&tree()));
}

#[test]
fn nothing_runs_unsupervised() {
    assert_tidy(&spawn::check(&tree()));
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    assert_tidy(&lints::check(&tree()));
}

#[test]
fn every_file_says_what_it_is_for() {
    assert_tidy(&header::check(&tree()));
}

#[test]
fn nothing_is_marked_as_unfinished() {
    assert_tidy(&unfinished::check(&tree()));
}

#[test]
fn no_path_exists_on_one_machine_only() {
    assert_tidy(&home::check(&tree(), &root().to_string_lossy()));
}

#[test]
fn the_rules_see_the_repository() {
    let tree = tree();
    assert!(
        tree.file("tests/tidy/tests/tidy.rs").is_some(),
        "the tree contains this file"
    );
    assert!(tree.manifests().count() > 10, "the tree contains the packages");
}
