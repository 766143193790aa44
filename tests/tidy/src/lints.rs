//! Every package takes the lints of the workspace.
//!
//! Cargo does not hand them down by itself: a package without these two lines is checked by nobody.

use crate::{Source, Tree, Violation};

/// Finds packages with lints of their own, or none.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let violation = |manifest: &Source| Violation {
        path: manifest.path.clone(),
        line: 1,
        problem: "the package does not take the lints of the workspace".into(),
        way_out: "add `[lints]` with `workspace = true`",
    };
    tree.manifests()
        .filter(|manifest| !takes_workspace_lints(manifest))
        .map(violation)
        .collect()
}

fn takes_workspace_lints(manifest: &Source) -> bool {
    let parsed: Option<toml::Table> = manifest.text.parse().ok();
    let lints = parsed.as_ref().and_then(|manifest| manifest.get("lints"));
    lints
        .and_then(|lints| lints.get("workspace")?.as_bool())
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    #[test]
    fn a_package_without_the_lints_of_the_workspace_is_found() {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\n"),
            (
                "good/Cargo.toml",
                "[package]\nname = \"good\"\n[lints]\nworkspace = true\n",
            ),
            ("none/Cargo.toml", "[package]\nname = \"none\"\n"),
            (
                "own/Cargo.toml",
                "[package]\nname = \"own\"\n[lints.rust]\nunsafe_code = \"allow\"\n",
            ),
        ]);
        assert_eq!(places(&check(&tree)), ["none/Cargo.toml:1", "own/Cargo.toml:1"]);
    }
}
