//! A panic unwinds, in every profile.
//!
//! A supervised actor that panics is restarted. With `abort` the whole process would die in its place, and with it the
//! running jobs of everybody else.

use crate::{Source, Tree, Violation};

/// Finds places that make a panic end the process.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.files.iter().filter(|file| sets_profiles(file)) {
        for (line, text) in file.lines() {
            let setting: String = text
                .chars()
                .filter(|c| !c.is_whitespace() && !"\"'".contains(*c))
                .collect();
            if setting.contains("panic=abort") {
                violations.push(Violation {
                    path: file.path.clone(),
                    line,
                    problem: "a panic would end the process instead of one actor".into(),
                    way_out: "remove the setting: supervision needs panics that unwind",
                });
            }
        }
    }
    violations
}

/// Where cargo and rustc take such settings from.
fn sets_profiles(file: &Source) -> bool {
    let is_script = file.name() == "Makefile" || file.path.starts_with(".ci/");
    let is_cargo_config = file.dir().ends_with(".cargo");
    file.name() == "Cargo.toml" || is_cargo_config || is_script
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    #[test]
    fn the_setting_is_found_wherever_cargo_would_find_it() {
        let tree = Tree::of(&[
            ("Cargo.toml", "[profile.release]\npanic = \"abort\"\n"),
            ("crates/a/Cargo.toml", "[profile.dev]\npanic='abort'\n"),
            (".cargo/config.toml", "[build]\nrustflags = [\"-Cpanic=abort\"]\n"),
            ("Makefile", "RUSTFLAGS=-Cpanic=abort cargo build\n"),
            ("fine/Cargo.toml", "[profile.release]\npanic = \"unwind\"\n"),
        ]);
        let expected = [
            "Cargo.toml:2",
            "crates/a/Cargo.toml:2",
            ".cargo/config.toml:2",
            "Makefile:1",
        ];
        assert_eq!(places(&check(&tree)), expected);
    }
}
