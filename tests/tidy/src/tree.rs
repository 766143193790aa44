//! The text files of a source tree, in memory.
//!
//! Rules take the tree as a value, so that a test can hand them a tree of three lines.

use std::fs;
use std::path::Path;

/// Files larger than this are data, not source.
const SOURCE_BYTES_MAX: u64 = 1 << 20;

/// Directories that hold nothing of ours.
const FOREIGN: [&str; 5] = [".git", "target", "node_modules", "mutants.out", "mutants.out.old"];

/// A lock file is made by cargo, not by hand.
const GENERATED: [&str; 1] = ["Cargo.lock"];

/// All text files below a root, by path.
#[derive(Debug, Clone)]
pub struct Tree {
    pub files: Vec<Source>,
}

/// A text file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the root, with `/` between the names.
    pub path: String,
    pub text: String,
}

impl Tree {
    /// Reads the tree below `root`. Panics when it cannot be read: then no rule can say anything.
    pub fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        read_dir(root, "", &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files }
    }

    /// A tree of these paths and texts.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).into(),
            text: (*text).into(),
        };
        Self {
            files: files.iter().map(source).collect(),
        }
    }

    /// The file at `path`, if there is one.
    pub fn file(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The files whose name ends with `suffix`.
    pub fn ending<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = &'a Source> {
        self.files.iter().filter(move |file| file.path.ends_with(suffix))
    }

    /// The manifests of packages; the one of the workspace is none.
    pub fn manifests(&self) -> impl Iterator<Item = &Source> {
        let manifests = self.files.iter().filter(|file| file.name() == "Cargo.toml");
        manifests.filter(|file| file.lines().any(|(_, line)| line == "[package]"))
    }
}

impl Source {
    /// The lines with their numbers, counted from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The directory, empty for the root.
    pub fn dir(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(dir, _)| dir)
    }
}

fn read_dir(dir: &Path, prefix: &str, files: &mut Vec<Source>) {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("read {}: {error}", dir.display()));
    for entry in entries {
        let entry = entry.expect("a directory can be listed");
        let name = entry.file_name().to_string_lossy().into_owned();
        let found = entry.metadata().expect("an entry can be looked at");
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}/{name}")
        };
        if found.is_dir() && !FOREIGN.contains(&name.as_str()) {
            read_dir(&entry.path(), &path, files);
        }
        let is_source = found.is_file() && found.len() <= SOURCE_BYTES_MAX;
        if is_source && !GENERATED.contains(&name.as_str()) {
            // What is not text is not source.
            files.extend(
                fs::read_to_string(entry.path())
                    .ok()
                    .map(|text| Source { path, text }),
            );
        }
    }
}
