//! The limits in `supervisors/README.md` within which processes end, from the constants that set them.
//!
//! `HIVEFORGE_UPDATE_DOCS=1` rewrites them.
#![expect(clippy::unwrap_used, reason = "a test stops at a surprise")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const BEGIN: &str = "<!-- generated: ends -->\n";
const END: &str = "<!-- end -->";

#[test]
fn the_page_shows_the_limits_that_are_set() {
    let runs = |limit| format!("its runs, and {}", seconds(limit));
    let rows = [
        (
            "coordinator",
            seconds(coordinator_tree::END_MAX),
            coordinator_tree::HURRIED_END_MAX,
        ),
        ("agent", runs(agent_tree::END_MAX), agent_tree::HURRIED_END_MAX),
        (
            "up",
            runs(hiveforge_supervisors_up::END_MAX),
            hiveforge_supervisors_up::HURRIED_END_MAX,
        ),
    ];
    let rows = rows.map(|(role, once, twice)| format!("| `{role}` | {once} | {} |\n", seconds(twice)));
    check(&format!(
        "| process | told once, it ends within | told twice, within |\n|---|---|---|\n{}",
        rows.concat()
    ));
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs())
}

/// Compares the page's generated part, or rewrites it.
fn check(table: &str) {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let page = root.parent().unwrap().join("README.md");
    let text = fs::read_to_string(&page).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let wanted = format!("{head}{BEGIN}{table}{END}{tail}");
    if std::env::var_os("HIVEFORGE_UPDATE_DOCS").is_some() {
        fs::write(&page, &wanted).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&page).unwrap(),
        wanted,
        "run again with HIVEFORGE_UPDATE_DOCS=1"
    );
}
