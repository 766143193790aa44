//! Specs that are refused: what a user reads then, and whether the place that it names is the right one.
//!
//! In each text `^` stands directly before the place that the error must point at, and is no part of the text.

use std::fmt::Write as _;

use domain::JobSpec;
use domain::spec::{ENTRIES_MAX, SPEC_BYTES_MAX, SpecError};

const TOML: &[&str] = &[
    // Not a document at all.
    "command = [\"make\"\n^name = 1",
    "command = [\"make\"]\n^command = [\"make\"]",
    "",
    // Unknown fields, at every level.
    "command = [\"make\"]\n^retries = 3",
    "command = [\"make\"]\n[limits]\nmemory = \"1GiB\"\n^ram = \"2GiB\"",
    "command = [\"make\"]\nlimits = { ^ram = \"2GiB\" }",
    "command = [\"make\"]\nlimits.^ram = \"2GiB\"",
    "command = [\"make\"]\n[group]\nname = \"g\"\nlimit = 1\n^size = 2",
    "command = [\"make\"]\n[source]\ngit = \"https://example.org/x.git\"\n^branch = \"main\"",
    "command = [\"make\"]\n[inputs.\"a.txt\"]\ndigest = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n^mode = 7",
    "command = [\"make\"]\nartifacts = [\n  \"*.log\",\n  { glob = \"*.txt\", ^needed = true },\n]",
    // Values of the wrong kind.
    "command = ^\"make\"",
    "command = [\"make\", ^1]",
    "command = [\"make\"]\ntimeout = ^90",
    "command = [\"make\"]\ntimeout = ^\"90\"",
    "command = [\"make\"]\ntimeout = ^\"1 hour\"",
    "command = [\"make\"]\n[limits]\nmemory = ^\"2 gigs\"",
    "command = [\"make\"]\n[limits]\nmemory = ^\"1.5GiB\"",
    "command = [\"make\"]\n[limits]\ncpus = ^\"2\"",
    "command = [\"make\"]\n[limits]\ncpus = ^0",
    "command = [\"make\"]\n[limits]\npids = ^-1",
    "command = [\"make\"]\nrequires = [\"os = linux\", ^\"os is linux\"]",
    "command = [\"make\"]\nrequires = [\n  \"os = linux\",\n  ^\"gpu >= many\",\n]",
    "command = [\"make\"]\npriority = ^200",
    "command = [\"make\"]\nnetwork = ^\"some\"",
    "command = [\"make\"]\nnot_before = ^\"tomorrow\"",
    "command = [\"make\"]\nnot_before = ^2026-11-21T17:00:00",
    "command = [\"make\"]\nartifacts = [^5]",
    "command = [\"make\"]\nenv = ^\"A=1\"",
    "command = [\"make\"]\nlimits = ^2",
    "command = [\"make\"]\ngroup = ^\"g\"",
    "command = [\"make\"]\nsource = ^\"https://example.org/x.git\"",
    "command = [\"make\"]\n[inputs]\na = ^\"a.txt\"",
    "command = [\"make\"]\n[env]\nN = ^1",
    "command = [\"make\"]\n[inputs]\n\"a.txt\" = { digest = ^\"abc\" }",
    "command = [\"make\"]\n[group]\nname = ^\"My Group\"\nlimit = 1",
    // Something is missing.
    "command = [\"make\"]\n^[group]\nname = \"g\"",
    "command = [\"make\"]\n[inputs]\n\"a.txt\" = ^{ executable = true }",
    // Rules that types alone do not state.
    "^command = []",
    "name = \"nothing\"",
    "command = [\"make\"]\n^script = \"make\"",
    "command = [\"make\"]\n^shell = [\"bash\", \"-c\"]",
    "^command = [\"\"]",
    "^command = [\"make\", \"a\\u0000b\"]",
    "script = \"make\"\n^shell = [\"\"]",
    "^script = \"a\\u0000b\"",
    "command = [\"make\"]\n^timeout = \"0s\"",
    "command = [\"make\"]\n^timeout = \"31d\"",
    "command = [\"make\"]\n^max_attempts = 0",
    "command = [\"make\"]\n^max_attempts = 21",
    "command = [\"make\"]\n^priority = -101",
    "command = [\"make\"]\ngroup = { name = \"g\", ^limit = 0 }",
    "command = [\"make\"]\n[group]\nname = \"g\"\n^limit = 10001",
    "command = [\"make\"]\n# pids = 1\n[limits]\nmemory = \"1GiB\"\n^pids = 0",
    "command = [\"make\"]\n\nlimits.^pids = 0",
    "command = [\"env\"]\n[env]\nPATH = \"/bin\"\n^HIVEFORGE_JOB = \"x\"",
    "command = [\"make\"]\n[env]\n^\"A=B\" = \"x\"",
    "command = [\"make\"]\n[env]\n^A = \"a\\u0000b\"",
    "command = [\"make\"]\n[inputs]\n^\"../etc/passwd\" = { digest = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\" }",
    "command = [\"make\"]\n[inputs]\n^\"/etc/passwd\" = { digest = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\" }",
    "command = [\"make\"]\n[inputs.^\"a/./b\"]\ndigest = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"",
    "command = [\"make\"]\n^artifacts = [\"*.log\", \"../*\"]",
    "command = [\"make\"]\n^artifacts = [\"/tmp/*\"]",
    "command = [\"make\"]\n^artifacts = [\"\"]",
    "command = [\"make\"]\n^artifacts = [\"[a-\"]",
    "command = [\"make\"]\n[source]\ngit = \"https://example.org/x.git\"\n^commit = \"main\"",
    "command = [\"make\"]\n[source]\n^git = \"--upload-pack=x\"\ncommit = \"0123456789abcdef0123456789abcdef01234567\"",
    "command = [\"make\"]\n^image = \"\"",
    "command = [\"make\"]\n^image = \"alpine 3\"",
    "^name = \"\"\ncommand = [\"make\"]",
    "^name = \"two\\nlines\"\ncommand = [\"make\"]",
    "command = [\"make\"]\n[labels]\n^\"my label\" = \"x\"",
    "command = [\"make\"]\n[labels]\nteam = \"x\"\n^owner = \"\"",
    // The place counts characters, not bytes.
    "command = [\"é\"]\nlimits = { \"memory\" = \"1GiB\" } # é\nenv = { \"é\" = \"é\", ^HIVEFORGE_X = \"1\" }",
];

const JSON: &[&str] = &[
    // Not a document at all.
    "{\"command\": [\"make\"],^}",
    "{\"command\": [\"make\"^]",
    "^",
    "{\"command\": [\"é\"], ^é}",
    "{\"command\": [\"make\"], ^\"command\": [\"make\"]}",
    // Unknown fields, at every level.
    "{\n  \"command\": [\"make\"],\n  ^\"retries\": 3\n}",
    "{\"command\": [\"make\"], \"limits\": {\"memory\": \"1GiB\", ^\"ram\": \"2GiB\"}}",
    "{\"command\": [\"make\"], \"group\": {\"name\": \"g\", \"limit\": 1, ^\"size\": 2}}",
    "{\"command\": [\"make\"], \"source\": {^\"branch\": \"main\"}}",
    "{\"command\": [\"make\"], \"artifacts\": [\"*.log\", {\"glob\": \"*.txt\", ^\"needed\": true}]}",
    // Values of the wrong kind.
    "{\"command\": ^\"make\"}",
    "{\"command\": [\"make\", ^1]}",
    "{\"command\": [\"make\"], \"timeout\": ^90}",
    "{\n  \"command\": [\"make\"],\n  \"timeout\": ^\"90\"\n}",
    "{\n  \"timeout\": ^\"1 hour\",\n  \"command\": [\"make\"]\n}",
    "{\"command\": [\"make\"], \"limits\": {\n  \"memory\": ^\"2 \\\"gigs\\\"\"\n}}",
    "{\"command\": [\"make\"], \"limits\": {\"cpus\": ^\"2\"}}",
    "{\"command\": [\"make\"], \"limits\": {\"cpus\": ^-0.5}}",
    "{\"command\": [\"make\"], \"requires\": [\n  \"os = linux\",\n  ^\"os is linux\",\n  \"gpu exists\"\n]}",
    "{\"command\": [\"make\"], \"priority\": ^200}",
    "{\"command\": [\"make\"], \"network\": ^\"some\"}",
    "{\"command\": [\"make\"], \"not_before\": ^\"tomorrow\"}",
    "{\"command\": [\"make\"], \"artifacts\": [^5]}",
    "{\"command\": [\"make\"], ^\"script\": {}}",
    "{\"command\": [\"é\"], \"timeout\": ^\"é\"}",
    "{\"command\": [\"make\"], \"max_attempts\": ^null}",
    // Something is missing: the place is where the object ends.
    "{\"command\": [\"make\"], \"group\": {\"name\": ^\"g\"}}",
    // Rules that types alone do not state.
    "{^\"command\": []}",
    "{}",
    "{\"command\": [\"make\"], ^\"timeout\": \"0s\"}",
    "{\"env\": {\"limits\": \"pids\"},\n \"command\": [\"make\"],\n \"limits\": {\n  ^\"pids\": 0\n }}",
    "{\"command\": [\"make\"], \"env\": {^\"HIVEFORGE_JOB\": \"x\"}}",
    "{\"command\": [\"make\"], \"env\": {^\"HIVEFORGE_\\u004aOB\": \"x\"}}",
    "{\"command\": [\"make\"], \"inputs\": {^\"../x.txt\": {\"digest\": \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}}}",
    "{\"labels\": {\"é\": \"x\"}, \"command\": [\"make\"], ^\"name\": \"\"}",
];

/// A format's reader.
type Read = fn(&str) -> Result<JobSpec, SpecError>;

/// What a user reads about each text, below the text.
fn messages(read: Read, marked: &[&str]) -> String {
    let mut page = String::new();
    for marked in marked {
        let text = marked.replacen('^', "", 1);
        let refused = read(&text).expect_err(&text);
        writeln!(page, "{text}\n  => {refused}\n").expect("a string takes all");
    }
    page
}

/// Line, column and rest of the line, as found and as marked, where they differ.
fn misplaced(read: Read, marked: &[&str]) -> Vec<String> {
    let differs = |marked: &&str| {
        let text = marked.replacen('^', "", 1);
        let found = read(&text).expect_err(&text).at.map(|at| (at.line, at.column));
        let wanted = marked.split_once('^').map(|(before, _)| {
            let line = before.rsplit('\n').next().unwrap_or_default();
            (before.matches('\n').count() + 1, line.chars().count() + 1)
        });
        (found != wanted).then(|| format!("{marked}\n  points at {found:?}, should point at {wanted:?}"))
    };
    marked.iter().filter_map(differs).collect()
}

#[test]
fn a_spec_in_toml_is_refused_with_these_words() {
    insta::assert_snapshot!("toml_messages", messages(JobSpec::from_toml, TOML));
}

#[test]
fn a_spec_in_json_is_refused_with_these_words() {
    insta::assert_snapshot!("json_messages", messages(JobSpec::from_json, JSON));
}

#[test]
fn an_error_in_toml_points_at_its_cause() {
    let misplaced = misplaced(JobSpec::from_toml, TOML);
    assert!(misplaced.is_empty(), "{}", misplaced.join("\n"));
}

#[test]
fn an_error_in_json_points_at_its_cause() {
    let misplaced = misplaced(JobSpec::from_json, JSON);
    assert!(misplaced.is_empty(), "{}", misplaced.join("\n"));
}

#[test]
fn a_spec_that_is_too_large_says_how_large_it_may_be() {
    let text = format!("command = [\"echo\", \"{}\"]", "x".repeat(SPEC_BYTES_MAX));
    let refused = JobSpec::from_toml(&text).unwrap_err().to_string();
    assert_eq!(
        refused,
        "spec: it has 65557 bytes, at most 65536 are allowed: pass large data as inputs"
    );
}

#[test]
fn a_table_with_too_many_entries_says_how_many_it_may_have() {
    let entries: String = (0..=ENTRIES_MAX).map(|n| format!("V{n} = \"x\"\n")).collect();
    let refused = JobSpec::from_toml(&format!("command = [\"env\"]\n[env]\n{entries}")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "env: it has 257 entries, at most 256 are allowed (line 2, column 2: `[env]`)"
    );
}

#[test]
fn a_long_line_is_shown_only_around_the_fault() {
    let long = "x".repeat(5000);
    let text =
        format!("{{\"command\": [\"echo\", \"{long}\"], \"timeout\": \"90\", \"script\": \"{long}\"}}");
    let at = JobSpec::from_json(&text).unwrap_err().at.unwrap();
    assert_eq!((at.line, at.column), (1, text.find("\"90\"").unwrap() + 1));
    assert!(at.text.contains("\"timeout\": \"90\""), "{}", at.text);
    assert!(at.text.starts_with('…') && at.text.ends_with('…') && at.text.chars().count() == 122);
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_either_reader(text in "[\\[\\]{}=:,.\"'\\\\\n a-cé0-9]{0,60}") {
        drop((JobSpec::from_toml(&text), JobSpec::from_json(&text)));
    }
}
