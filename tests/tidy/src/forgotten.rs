//! Every Rust file is compiled.
//!
//! A file that no `mod` names is not an error for cargo: its tests pass by not being there. The rule starts at what
//! cargo finds by itself (libraries, binaries, `tests/*.rs`, `tests/*/main.rs`) and follows each `mod name;`.

use std::collections::HashSet;

use crate::{Source, Tree, Violation};

/// Where cargo looks for the crate roots of a package: a directory of files, or of directories with a `main.rs`.
const ROOT_DIRS: [&str; 4] = ["src/bin", "tests", "examples", "benches"];

/// Crate roots with a name of their own.
const ROOT_FILES: [&str; 3] = ["src/lib.rs", "src/main.rs", "build.rs"];

/// Finds Rust files that belong to a package and are reached from none of its crates.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut reached: HashSet<String> = HashSet::new();
    let mut open: Vec<String> = tree
        .manifests()
        .flat_map(|manifest| roots(tree, manifest))
        .collect();
    while let Some(path) = open.pop() {
        if let Some(file) = tree.file(&path)
            && reached.insert(path)
        {
            open.extend(modules(file));
        }
    }
    let packages: Vec<&str> = tree.manifests().map(Source::dir).collect();
    let in_package = |file: &&Source| {
        packages
            .iter()
            .any(|package| below(package, &file.path).is_some())
    };
    let forgotten = tree
        .ending(".rs")
        .filter(in_package)
        .filter(|file| !reached.contains(&file.path));
    let violation = |file: &Source| Violation {
        path: file.path.clone(),
        line: 1,
        problem: "no crate contains this file, so nothing in it is compiled or tested".into(),
        way_out: "name it with a `mod` in its parent, or delete it",
    };
    forgotten.map(violation).collect()
}

/// The crate roots of a package.
fn roots(tree: &Tree, manifest: &Source) -> Vec<String> {
    let finds_tests = !manifest
        .lines()
        .any(|(_, line)| line.replace(' ', "") == "autotests=false");
    let is_root = |file: &&Source| {
        below(manifest.dir(), &file.path).is_some_and(|path| {
            let in_root_dir = ROOT_DIRS.iter().any(|dir| match below(dir, path) {
                Some(name) => (finds_tests || *dir != "tests") && is_crate_in_dir(name),
                None => false,
            });
            in_root_dir || ROOT_FILES.contains(&path)
        })
    };
    let found = tree.ending(".rs").filter(is_root).map(|file| file.path.clone());
    // `path = "x.rs"` of `[lib]`, `[[bin]]` or `[[test]]`.
    let named = manifest.lines().filter_map(|(_, line)| {
        let path = line
            .strip_prefix("path")?
            .trim_start()
            .strip_prefix('=')?
            .trim()
            .trim_matches('"');
        path.ends_with(".rs").then(|| join(manifest.dir(), path))
    });
    found.chain(named).collect()
}

/// `name.rs` is a crate, and so is `name/main.rs`.
fn is_crate_in_dir(name: &str) -> bool {
    match name.split_once('/') {
        None => true,
        Some((_, file)) => file == "main.rs",
    }
}

/// Where the modules that a file names may lie: both places that rustc accepts.
fn modules(file: &Source) -> Vec<String> {
    let stem = file.name().trim_end_matches(".rs");
    let is_crate_root = |dir: &str| {
        ROOT_DIRS
            .iter()
            .any(|root| dir == *root || dir.ends_with(&format!("/{root}")))
    };
    let owns_dir = ["lib", "main", "mod", "build"].contains(&stem) || is_crate_root(file.dir());
    let dir = if owns_dir {
        file.dir().to_owned()
    } else {
        join(file.dir(), stem)
    };
    let mut found = Vec::new();
    let mut path_attribute = None;
    for (_, line) in file.lines() {
        let line = line.trim();
        if let Some(path) = line.strip_prefix("#[path = \"") {
            path_attribute = path.strip_suffix("\"]");
        } else if let Some(name) = module_name(line) {
            match path_attribute.take() {
                Some(path) => found.push(join(file.dir(), path)),
                None => found
                    .extend([format!("{name}.rs"), format!("{name}/mod.rs")].map(|path| join(&dir, &path))),
            }
        }
    }
    found
}

/// The name in `mod name;`, whatever its visibility.
fn module_name(line: &str) -> Option<&str> {
    let declaration = line.strip_suffix(';')?;
    let (visibility, name) = match declaration.strip_prefix("mod ") {
        Some(name) => ("", name),
        None => declaration.split_once(" mod ")?,
    };
    let is_visible = visibility.is_empty() || visibility == "pub" || visibility.starts_with("pub(");
    (is_visible && !name.contains(' ')).then_some(name)
}

/// The rest of `path` when it lies in `dir`.
fn below<'a>(dir: &str, path: &'a str) -> Option<&'a str> {
    if dir.is_empty() {
        Some(path)
    } else {
        path.strip_prefix(dir)?.strip_prefix('/')
    }
}

/// `path` as seen from `dir`, with `..` worked out, since files are known by their plain paths.
fn join(dir: &str, path: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    const MANIFEST: &str = "[package]\nname = \"a\"\n";

    #[test]
    fn a_test_file_that_no_module_names_is_found() {
        let tree = Tree::of(&[
            ("a/Cargo.toml", MANIFEST),
            ("a/tests/suite.rs", "mod cases;\n"),
            ("a/tests/big/main.rs", "mod listed;\n"),
            ("a/tests/big/listed.rs", "pub(crate) mod deep;\n"),
            ("a/tests/big/listed/deep.rs", "//! Reached.\n"),
            ("a/tests/big/forgotten.rs", "//! Not reached.\n"),
            ("a/tests/cases/mod.rs", "//! Reached.\n"),
            ("a/tests/cases/lost.rs", "//! Not reached.\n"),
        ]);
        assert_eq!(
            places(&check(&tree)),
            ["a/tests/big/forgotten.rs:1", "a/tests/cases/lost.rs:1"]
        );
    }

    #[test]
    fn a_source_file_that_no_module_names_is_found() {
        let tree = Tree::of(&[
            ("a/Cargo.toml", MANIFEST),
            ("a/src/lib.rs", "pub mod job;\n#[path = \"odd.rs\"]\nmod even;\n"),
            ("a/src/job.rs", "mod apply;\n"),
            ("a/src/job/apply.rs", "//! Reached.\n"),
            (
                "a/src/apply.rs",
                "//! Not reached: the one below `job` is meant.\n",
            ),
            ("a/src/odd.rs", "//! Reached.\n"),
            (
                "a/src/bin/tool.rs",
                "#[path = \"../../tests/support/far.rs\"]\nmod far;\n",
            ),
            ("a/tests/support/far.rs", "//! Reached from elsewhere.\n"),
            ("not-a-package/x.rs", "//! Nobody's.\n"),
        ]);
        assert_eq!(places(&check(&tree)), ["a/src/apply.rs:1"]);
    }

    #[test]
    fn a_package_may_name_its_suites_itself() {
        let manifest =
            format!("{MANIFEST}autotests = false\n[[test]]\nname = \"x\"\npath = \"tests/x.rs\"\n");
        let tree = Tree::of(&[
            ("a/Cargo.toml", &manifest),
            ("a/tests/x.rs", "//! X.\n"),
            ("a/tests/y.rs", "//! Y.\n"),
        ]);
        assert_eq!(places(&check(&tree)), ["a/tests/y.rs:1"]);
    }
}
