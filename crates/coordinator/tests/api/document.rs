//! docs/api.md: its examples are what a coordinator says, and its table has every code that a coordinator uses.
//!
//! `HIVEFORGE_UPDATE_DOCS=1` rewrites the examples.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tour;

const PAGE: &str = "../../docs/api.md";
const BEGIN: &str = "<!-- example: ";
const END: &str = "<!-- end -->\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)
}

#[tokio::test]
async fn the_examples_of_the_page_are_what_a_coordinator_says() {
    let text = fs::read_to_string(page()).unwrap();
    let examples = tour::examples().await;
    let mut shown = BTreeSet::new();
    let mut parts = text.split(BEGIN);
    let mut made = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n").unwrap();
        let (_, after) = rest
            .split_once(END)
            .unwrap_or_else(|| panic!("{name} has no end"));
        let example = examples
            .get(name)
            .unwrap_or_else(|| panic!("there is no example {name}"));
        made.push_str(&format!("{BEGIN}{name} -->\n{example}{END}{after}"));
        shown.insert(name);
    }
    let all: BTreeSet<&str> = examples.keys().copied().collect();
    assert_eq!(shown, all, "each example is shown");
    if std::env::var_os("HIVEFORGE_UPDATE_DOCS").is_some() {
        fs::write(page(), &made).unwrap();
    }
    assert!(
        made == text || std::env::var_os("HIVEFORGE_UPDATE_DOCS").is_some(),
        "docs/api.md shows other replies than a coordinator gives: run the test with HIVEFORGE_UPDATE_DOCS=1"
    );
}

/// What stands before a code in the source: calls that make a problem, and arms that choose a code.
const BEFORE_A_CODE: [&str; 8] = [
    "bad_request( ",
    "not_found( ",
    "::log( ",
    "let code = if error.is_data() { ",
    "} else { ",
    " => ",
    "500, ",
    "422, ",
];

/// The literals of a source text that stand where a code does.
fn codes_in(source: &str, codes: &mut BTreeSet<String>) {
    let shape = source.split("#[cfg(test)]").next().unwrap().replace('(', "( ");
    let shape = shape.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut note = |rest: &str| {
        let literal = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let is_code =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        codes.extend(
            literal
                .map(|(code, _)| code)
                .filter(|code| is_code(code))
                .map(str::to_owned),
        );
    };
    for before in BEFORE_A_CODE {
        shape.split(before).skip(1).for_each(&mut note);
    }
    for rest in shape.split("StatusCode::").skip(1) {
        if let Some((_, rest)) = rest.split_once(", ") {
            note(rest);
        }
    }
}

fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[test]
fn the_page_explains_every_code() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"),
        &mut files,
    );
    let mut used = BTreeSet::new();
    for file in files.iter().filter(|file| !file.ends_with("views.rs")) {
        codes_in(&fs::read_to_string(file).unwrap(), &mut used);
    }
    for word in [
        "log_offset",
        "lease_lost",
        "unauthenticated",
        "body_not_json",
        "spec_invalid",
        "busy",
    ] {
        assert!(used.contains(word), "{word} was not found in {used:?}");
    }
    let text = fs::read_to_string(page()).unwrap();
    // `type` of a problem is a link to its line: an anchor of its own, not of a heading.
    let explained = |code: &String| text.contains(&format!("| <a id=\"{code}\"></a>`{code}` |"));
    let missing: Vec<&String> = used.iter().filter(|code| !explained(code)).collect();
    assert!(missing.is_empty(), "docs/api.md does not explain {missing:?}");
    let rows = text.matches("| <a id=\"").count();
    assert_eq!(rows, used.len(), "docs/api.md explains codes that nobody uses");
}
