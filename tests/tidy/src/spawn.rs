//! Nothing runs unsupervised.
//!
//! A detached tokio task that panics is noticed by nobody. Clippy refuses the calls that it can name; this rule also
//! finds imports and handles, and asks for the reason where a place excepts itself.

use crate::rust::{code, functions};
use crate::{Source, Tree, Violation};

/// What starts a task of tokio, wherever it stands.
const DETACHED: [&str; 4] = [
    "tokio::spawn",
    "tokio::task::spawn",
    "Handle::current().spawn",
    "Handle::spawn",
];

/// What starts one where `task` is tokio's.
const OF_TASK_MODULE: [&str; 2] = ["task::spawn", "task::spawn_local"];

/// How the handle of a runtime is usually called.
const OF_RUNTIME: [&str; 3] = ["handle.spawn", "runtime.spawn", "rt.spawn"];

/// How many lines above a line outside of all functions its exception is looked for.
const LINES_ABOVE: usize = 5;

/// Finds tasks that no supervisor knows.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.ending(".rs") {
        let imports_task = imports_tokio_task(file);
        for (line, text) in file.lines() {
            if spawns(&code(text), imports_task) && !is_excepted(file, line) {
                violations.push(Violation {
                    path: file.path.clone(),
                    line,
                    problem: "a task that no supervisor knows".into(),
                    way_out: "start an actor or use supervision::task; the composition of a process may say \
                              #[expect(clippy::disallowed_methods, reason = \"..\")]",
                });
            }
        }
    }
    violations
}

fn spawns(code: &str, imports_task: bool) -> bool {
    let of_task: &[&str] = if imports_task { &OF_TASK_MODULE } else { &[] };
    DETACHED
        .iter()
        .chain(&OF_RUNTIME)
        .chain(of_task)
        .any(|call| names(code, call))
}

/// Whether `path` stands in `code` on its own, not as a part of a longer path or name.
fn names(code: &str, path: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(path).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + path.len()..].chars().next();
        let goes_on = before.is_some_and(|c| is_part(c) && !path.contains('.'));
        !goes_on && !code[..start].ends_with("supervision::") && !after.is_some_and(is_part)
    })
}

/// Whether a bare `task::` means tokio's.
fn imports_tokio_task(file: &Source) -> bool {
    let mut imports = file
        .lines()
        .map(|(_, line)| line.trim())
        .filter(|line| line.starts_with("use tokio::"));
    imports.any(|import| names(import, "task"))
}

/// Whether an `expect` with a reason covers the line: above it in its function, on that function, or on the file.
fn is_excepted(file: &Source, line: usize) -> bool {
    let lines: Vec<&str> = file.text.lines().collect();
    let around = functions(file)
        .into_iter()
        .find(|function| (function.first..=function.last).contains(&line));
    let mut from = match around {
        Some(function) => function.first - 1,
        None => line.saturating_sub(LINES_ABOVE),
    };
    while from > 0 && is_attribute_line(lines[from - 1]) {
        from -= 1;
    }
    let above = lines[from.min(line)..line].join("\n");
    has_expectation(&above, "#[expect(") || has_expectation(&file.text, "#![expect(")
}

/// A line of an attribute or of a doc comment above an item, as rustfmt breaks it.
fn is_attribute_line(line: &str) -> bool {
    let line = line.trim();
    let starts = ["#[", ")]", "//", "reason =", "clippy::"];
    starts.iter().any(|start| line.starts_with(start))
}

fn has_expectation(text: &str, opening: &str) -> bool {
    let mut attributes = text
        .split(opening)
        .skip(1)
        .filter_map(|rest| rest.split(")]").next());
    attributes
        .any(|attribute| attribute.contains("clippy::disallowed_methods") && attribute.contains("reason ="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    fn check_text(text: &str) -> Vec<String> {
        places(&check(&Tree::of(&[("a.rs", text)])))
    }

    #[test]
    fn every_way_to_detach_a_task_is_found() {
        assert_eq!(check_text("fn a() {\n    tokio::spawn(b());\n}\n"), ["a.rs:2"]);
        assert_eq!(
            check_text("fn a() {\n    tokio::task::spawn(b());\n}\n"),
            ["a.rs:2"]
        );
        assert_eq!(check_text("use tokio::spawn;\n"), ["a.rs:1"]);
        assert_eq!(
            check_text("use tokio::{sync, task};\nfn a() {\n    task::spawn(b());\n}\n"),
            ["a.rs:3"]
        );
        assert_eq!(
            check_text("fn a() {\n    Handle::current().spawn(b());\n}\n"),
            ["a.rs:2"]
        );
        assert_eq!(
            check_text("fn a() {\n    self.handle.spawn(b());\n}\n"),
            ["a.rs:2"]
        );
    }

    #[test]
    fn what_is_supervised_joined_or_only_talked_about_is_not() {
        for fine in [
            "use supervision::task;\nfn a() {\n    task::spawn(b());\n    supervision::task::spawn(b());\n}\n",
            "use tokio::task;\nfn a() {\n    task::spawn_blocking(b).await;\n}\n",
            "fn a() {\n    set.spawn(b());\n    thread::spawn(b);\n}\n",
            "// Never tokio::spawn(b()).\nconst A: &str = \"tokio::spawn(b())\";\n",
        ] {
            assert_eq!(check_text(fine), [] as [&str; 0], "{fine}");
        }
    }

    #[test]
    fn an_exception_needs_a_reason() {
        let on_function = |expect: &str| format!("{expect}\nfn a() {{\n    tokio::spawn(b());\n}}\n");
        let reason = "#[expect(clippy::disallowed_methods, reason = \"the root\")]";
        assert_eq!(check_text(&on_function(reason)), [] as [&str; 0]);
        assert_eq!(
            check_text(&on_function("#[expect(clippy::disallowed_methods)]")),
            ["a.rs:3"]
        );
        assert_eq!(
            check_text(&format!(
                "{}fn c() {{\n    tokio::spawn(d());\n}}\n",
                on_function(reason)
            )),
            ["a.rs:6"]
        );
        let on_statement = format!("fn a() {{\n    {reason}\n    tokio::spawn(b());\n}}\n");
        assert_eq!(check_text(&on_statement), [] as [&str; 0]);
        let broken = "#[expect(\n    clippy::disallowed_methods,\n    reason = \"the root\"\n)]";
        assert_eq!(check_text(&on_function(broken)), [] as [&str; 0]);
    }
}
