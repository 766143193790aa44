//! The packages of the workspace and what they depend on, as cargo sees them.

use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// A package of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    pub name: String,
    /// Relative to the root, e.g. `crates/domain`.
    pub dir: String,
    pub dependencies: Vec<Dependency>,
}

/// A dependency that is linked or runs in the build; those of tests alone are left out.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The name of the package.
    pub name: String,
    /// The name in the manifest, where it is another one.
    pub rename: Option<String>,
}

impl Package {
    /// Asks cargo for the packages of the workspace at `root`. Needs no network.
    pub fn read_all(root: &Path) -> Vec<Self> {
        let mut command = MetadataCommand::new();
        command.manifest_path(root.join("Cargo.toml")).no_deps();
        let metadata = command.exec().expect("cargo can read the workspace");
        metadata
            .packages
            .into_iter()
            .map(|package| Self::of(package, root))
            .collect()
    }

    fn of(package: cargo_metadata::Package, root: &Path) -> Self {
        let dir = package
            .manifest_path
            .parent()
            .expect("a manifest lies in a directory");
        let dir = dir.strip_prefix(root).expect("a member lies below the workspace");
        let linked = package
            .dependencies
            .into_iter()
            .filter(|used| used.kind != DependencyKind::Development);
        let dependencies = linked
            .map(|used| Dependency {
                name: used.name,
                rename: used.rename,
            })
            .collect();
        Self {
            name: package.name.to_string(),
            dir: dir.to_string(),
            dependencies,
        }
    }

    /// The manifest, relative to the root.
    pub fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.dir)
    }
}
