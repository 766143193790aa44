//! Nothing in the tree is marked as unfinished.
//!
//! A note to oneself is an issue, where others can find it; code that is not there yet is not called.

use crate::{Tree, Violation};

/// Cut in two, so that this file does not find itself.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const MACROS: [&str; 2] = [concat!("todo", "!("), concat!("unimplemented", "!(")];

/// Finds marks and macros that stand for missing work.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.files {
        for (line, text) in file.lines() {
            let mark = MARKS.iter().find(|mark| has_word(text, mark));
            let call = MACROS
                .iter()
                .find(|call| file.path.ends_with(".rs") && text.contains(**call));
            if let Some(found) = mark.or(call) {
                violations.push(Violation {
                    path: file.path.clone(),
                    line,
                    problem: format!("`{found}` marks something unfinished"),
                    way_out: "finish it, or file an issue and leave the code as it is meant",
                });
            }
        }
    }
    violations
}

/// Whether `word` stands in `text` with no letter, digit or underscore beside it.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    #[test]
    fn every_mark_is_found_and_nothing_that_only_looks_like_one() {
        let [first, second, third] = MARKS;
        let tree = Tree::of(&[
            (
                "a.rs",
                &format!("//! Fine.\n// {first}: later\nlet x = {}\"x\");\n", MACROS[0]),
            ),
            ("Makefile", &format!("all: # {second}\n")),
            ("doc.md", &format!("{third}\n")),
            ("fine.sh", "mktemp -d /tmp/XXXXXX\n"),
            ("Cargo.toml", "todo = \"warn\"\n"),
        ]);
        assert_eq!(
            places(&check(&tree)),
            ["a.rs:2", "a.rs:3", "Makefile:1", "doc.md:1"]
        );
    }
}
