//! Just enough of Rust's shape to find functions and comments, by the indentation that rustfmt gives them.
//!
//! A function ends at the first closing brace that is indented like its `fn`. No braces are counted and no tokens are
//! read.

use crate::Source;

/// A function and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// The line of `fn`, counted from 1.
    pub(crate) first: usize,
    /// The line of the closing brace.
    pub(crate) last: usize,
}

/// The functions of a file that have a body, nested ones too.
pub(crate) fn functions(file: &Source) -> Vec<Function<'_>> {
    let lines: Vec<&str> = file.text.lines().collect();
    let starts = lines
        .iter()
        .enumerate()
        .filter_map(|(i, line)| Some((i, function_name(line)?)));
    let found = starts.filter_map(|(start, name)| {
        let end = last_line(&lines[start..])?;
        Some(Function {
            name,
            first: start + 1,
            last: start + end + 1,
        })
    });
    found.collect()
}

/// The name that a line declares with `fn`.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| is_qualifier(word));
    let name = if words.next()? == "fn" {
        words.next()?
    } else {
        return None;
    };
    name.split(['(', '<']).next()
}

/// What may stand before `fn`.
fn is_qualifier(word: &str) -> bool {
    let is_keyword = matches!(word, "pub" | "async" | "const" | "unsafe" | "extern" | "default");
    is_keyword || word.starts_with("pub(") || word.starts_with('"')
}

/// Where the function that starts at the first of `lines` ends, counted from it.
fn last_line(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?;
    if first.ends_with('}') {
        return Some(0);
    }
    if first.ends_with(';') {
        return None;
    }
    let indent = &first[..first.len() - first.trim_start().len()];
    let at_indent = |line: &str, start: char| {
        line.strip_prefix(indent)
            .is_some_and(|rest| rest.starts_with(start))
    };
    let ends = |line: &&str| at_indent(line, '}') || (at_indent(line, ')') && line.ends_with(';'));
    let end = 1 + lines[1..].iter().position(ends)?;
    at_indent(lines[end], '}').then_some(end)
}

/// The line without its comment and without the content of its string literals.
pub(crate) fn code(line: &str) -> String {
    let mut code = String::new();
    let mut characters = line.chars().peekable();
    let mut in_string = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => drop(characters.next()),
            '"' => in_string = !in_string,
            '/' if !in_string && characters.peek() == Some(&'/') => break,
            _ if in_string => {}
            _ => code.push(character),
        }
    }
    code
}

/// Whether a comment gives a reason after `marker`.
pub(crate) fn gives_reason(line: &str, marker: &str) -> bool {
    line.split_once(marker)
        .is_some_and(|(before, reason)| before.trim_end().ends_with("//") && !reason.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, usize, usize)]) {
        let file = Source {
            path: "x.rs".into(),
            text: text.into(),
        };
        let found = functions(&file);
        let found: Vec<_> = found.iter().map(|f| (f.name, f.first, f.last)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn functions_are_found_in_every_dress() {
        check("fn a() {\n    1\n}\n", &[("a", 1, 3)]);
        check("pub(crate) async unsafe fn a<T>() {\n}\n", &[("a", 1, 2)]);
        check("pub extern \"C\" fn a() {}\n", &[("a", 1, 1)]);
        check(
            "impl X {\n    const fn a(\n        b: u8,\n    ) -> u8 {\n        b\n    }\n}\n",
            &[("a", 2, 6)],
        );
        check("fn a() {\n    fn b() {\n    }\n}\n", &[("a", 1, 4), ("b", 2, 3)]);
    }

    #[test]
    fn what_has_no_body_or_is_no_declaration_is_no_function() {
        check(
            "trait T {\n    fn a();\n    fn b(\n        c: u8,\n    ) -> u8;\n}\n",
            &[],
        );
        check("let f: fn(u8) -> u8 = g;\nprint fn x\n// fn a() {\n", &[]);
    }

    #[test]
    fn code_is_what_is_left_without_comments_and_strings() {
        assert_eq!(code(r#"a("b // \" c", d); // e"#), "a(, d); ");
        assert_eq!(code("//! header"), "");
    }

    #[test]
    fn a_reason_is_a_comment_with_words_behind_the_marker() {
        assert!(gives_reason(
            "    // tidy: long because it is a table",
            "tidy: long because"
        ));
        assert!(!gives_reason("    // tidy: long because ", "tidy: long because"));
        assert!(!gives_reason(
            "    \"tidy: long because it is\"",
            "tidy: long because"
        ));
    }
}
