//! Every Rust file starts by saying what it is for.

use crate::{Tree, Violation};

/// Finds Rust files whose first line is no `//!` with words.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let has_header = |text: &str| {
        let words = text.lines().next().and_then(|line| line.strip_prefix("//!"));
        words.is_some_and(|words| !words.trim().is_empty())
    };
    let without = tree.ending(".rs").filter(|file| !has_header(&file.text));
    let violation = |path: &String| Violation {
        path: path.clone(),
        line: 1,
        problem: "the file does not say what it is for".into(),
        way_out: "start it with a `//!` header: its duty, the one idea, what it does not do",
    };
    without.map(|file| violation(&file.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    #[test]
    fn a_file_without_a_header_is_found() {
        let tree = Tree::of(&[
            ("good.rs", "//! Returns jobs.\n"),
            ("late.rs", "use std::fs;\n//! Too late.\n"),
            ("wordless.rs", "//!\nuse std::fs;\n"),
            ("not-rust.c", "int main(void);\n"),
        ]);
        assert_eq!(places(&check(&tree)), ["late.rs:1", "wordless.rs:1"]);
    }
}
