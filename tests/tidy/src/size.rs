//! Files of at most 400 lines and functions of at most 70, with a way out for those who say why.
//!
//! A file counts without the tests at its end.

use crate::rust::{functions, gives_reason};
use crate::{Source, Tree, Violation};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// In how many lines at the start of a file its reason is looked for.
const FILE_REASON_LINES: usize = 20;

const REASON: &str = "tidy: long because";

/// Finds files that are longer than a concept is.
pub fn check_files(tree: &Tree) -> Vec<Violation> {
    let too_long = tree.ending(".rs").filter_map(|file| {
        let length = length_without_tests(file);
        let excused = file
            .text
            .lines()
            .take(FILE_REASON_LINES)
            .any(|line| gives_reason(line, REASON));
        (length > FILE_LINES_MAX && !excused).then(|| Violation {
            path: file.path.clone(),
            line: FILE_LINES_MAX + 1,
            problem: format!("the file has {length} lines without its tests, more than {FILE_LINES_MAX}"),
            way_out: "split it by concept, or say `// tidy: long because <reason>` in its first 20 lines",
        })
    });
    too_long.collect()
}

/// Finds functions that do not fit on a screen.
pub fn check_functions(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.ending(".rs") {
        for function in functions(file) {
            let length = function.last - function.first + 1;
            let mut body = file.text.lines().skip(function.first - 1).take(length);
            if length > FUNCTION_LINES_MAX && !body.any(|line| gives_reason(line, REASON)) {
                let name = function.name;
                violations.push(Violation {
                    path: file.path.clone(),
                    line: function.first,
                    problem: format!("`{name}` has {length} lines, more than {FUNCTION_LINES_MAX}"),
                    way_out: "split it, or say `// tidy: long because <reason>` within it",
                });
            }
        }
    }
    violations
}

fn length_without_tests(file: &Source) -> usize {
    let lines: Vec<&str> = file.text.lines().collect();
    let is_tests = |i: &usize| {
        let mut item = lines[i + 1..].iter().skip_while(|line| line.starts_with("#["));
        lines[*i] == "#[cfg(test)]" && item.next().is_some_and(|line| line.starts_with("mod "))
    };
    (0..lines.len()).rfind(is_tests).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    /// A function of `lines` lines with `comment` as its second.
    fn function(lines: usize, comment: &str) -> String {
        format!(
            "fn long() {{\n    {comment}\n{}}}\n",
            "    step();\n".repeat(lines - 3)
        )
    }

    #[test]
    fn a_function_of_71_lines_is_too_long_unless_it_says_why() {
        let check = |text: &str| places(&check_functions(&Tree::of(&[("a.rs", text)])));
        assert_eq!(check(&function(70, "")), [] as [&str; 0]);
        assert_eq!(check(&function(71, "")), ["a.rs:1"]);
        assert_eq!(
            check(&function(71, "// tidy: long because it is a table.")),
            [] as [&str; 0]
        );
    }

    #[test]
    fn a_file_of_401_lines_is_too_long_unless_they_are_tests_or_it_says_why() {
        let check = |text: &str| places(&check_files(&Tree::of(&[("a.rs", text)])));
        let lines = "a();\n".repeat(400);
        let tests = "#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(check(&format!("{lines}{tests}")), [] as [&str; 0]);
        assert_eq!(check(&format!("{lines}a();\n{tests}")), ["a.rs:401"]);
        let excuse = "// tidy: long because it is generated.\n";
        assert_eq!(check(&format!("{excuse}{lines}")), [] as [&str; 0]);
    }
}
