//! No path that exists on one machine only.
//!
//! A home directory, or the place where the repository happens to lie, is right for its writer and wrong for everybody
//! else.

use crate::{Tree, Violation};

/// The parents of home directories. Cut in two, so that this file does not find itself.
const HOMES: [&str; 4] = [
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
    concat!(r"\Us", r"ers\"),
];

/// Finds home directories, and `checkout`, the absolute path of the repository itself.
pub fn check(tree: &Tree, checkout: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.files {
        for (line, text) in file.lines() {
            let names_home = HOMES.iter().any(|home| names_somebody(text, home));
            if names_home || text.contains(checkout) {
                violations.push(Violation {
                    path: file.path.clone(),
                    line,
                    problem: "the path exists on one machine only".into(),
                    way_out: "use a relative path, a temporary directory or a variable such as $HOME",
                });
            }
        }
    }
    violations
}

/// Whether a path starts in `home` and goes on with the name of somebody, not with a placeholder such as `<you>`.
fn names_somebody(text: &str, home: &str) -> bool {
    text.match_indices(home).any(|(start, _)| {
        let starts_path =
            !text[..start].ends_with(|before: char| before.is_alphanumeric() || "}._-".contains(before));
        starts_path
            && text[start + home.len()..].starts_with(|after: char| after.is_alphanumeric() || after == '.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    #[test]
    fn home_directories_and_the_checkout_are_found_and_placeholders_are_not() {
        let [linux, mac, root, windows] = HOMES;
        let tree = Tree::of(&[
            ("a.rs", &format!("let path = \"{linux}ann/x\";\n")),
            (
                "b.md",
                &format!("Fine: {linux}<you>/x, $ROOT{linux}x, ${{DIR}}{mac}x.\nNot: {mac}ann\n"),
            ),
            ("c.sh", &format!("cd {root}.cargo\n")),
            ("d.md", &format!("C:{windows}ann\n")),
            ("e.toml", "target-dir = \"/src/hiveforge/target\"\n"),
        ]);
        let found = check(&tree, "/src/hiveforge");
        assert_eq!(
            places(&found),
            ["a.rs:1", "b.md:2", "c.sh:1", "d.md:1", "e.toml:1"]
        );
    }
}
