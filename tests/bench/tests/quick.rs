//! The benchmark from end to end, as far as that is not a matter of time: no figure is looked at but for its being there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The sections that need nothing but this repository.
const EMBEDDED: [&str; 4] = ["throughput", "groups", "latency", "queue"];
/// The parts over Redis, and the sections that they report.
const OVER_REDIS: [(&str, &[&str]); 2] = [
    (
        "lifecycle",
        &["lifecycle-no", "lifecycle-everysec", "lifecycle-always"],
    ),
    ("parked", &["parked"]),
];

#[test]
fn the_benchmark_measures_every_section_and_writes_what_it_found() {
    let parts = EMBEDDED.map(|part| format!("--only={part}"));
    check(&parts, "bench/quick", &EMBEDDED);
}

#[test]
fn the_sections_over_redis_are_measured_and_written_too() {
    if !servers::redis_or_skip() {
        return;
    }
    for (part, sections) in OVER_REDIS {
        check(&[format!("--only={part}")], "bench/quick", sections);
    }
}

#[test]
fn a_small_simulation_loses_no_job_and_gives_none_out_twice() {
    if !servers::redis_or_skip() {
        return;
    }
    let options = "sim --agents=200 --jobs=2000 --window=500 --slots=5 --idle=1s --sessions".split(' ');
    let options: Vec<String> = options.map(str::to_owned).collect();
    let found = check(&options, "bench/quick", &["sim"]);
    // That every job was claimed and finished is what ends the simulation; it fails where one is not.
    let figure = |what: &str| {
        let rows = found[0]["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["what"] == what);
        row.unwrap_or_else(|| panic!("no row `{what}`"))["measured"]
            .as_f64()
            .unwrap()
    };
    assert_eq!(figure("jobs that were given out twice"), 0.0);
    assert!(figure("CPU of a job: Redis") > 0.0);
}

#[test]
fn a_simulation_that_cannot_be_is_refused_with_the_way_out() {
    for (option, way_out) in [
        ("--agents=0", "--agents 0: give at least 1"),
        ("--agents=5000 --coordinators=1", "start more with --coordinators"),
        (
            "--window=10",
            "--window 10: with batches of 100 nothing could be submitted",
        ),
        ("--rate=-1", "--rate -1: give a positive number"),
    ] {
        let options: Vec<String> = std::iter::once("sim")
            .chain(option.split(' '))
            .map(str::to_owned)
            .collect();
        let output = run(&options);
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && words.contains(way_out), "{words}");
    }
}

/// Runs the benchmark and returns what it wrote of each section, once all of it stands in its table, too.
fn check(options: &[String], results: &str, sections: &[&str]) -> Vec<Value> {
    let output = run(options);
    let (table, words) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{table}\n{words}");
    let results = bench().ancestors().nth(2).unwrap().join(results);
    let read = |section: &&str| {
        let json = std::fs::read_to_string(results.join(format!("{section}.json"))).unwrap();
        let found: Value = serde_json::from_str(&json).unwrap();
        for row in found["rows"].as_array().unwrap() {
            assert!(row["measured"].is_number(), "{row}");
            assert!(table.contains(row["what"].as_str().unwrap()), "{row}");
        }
        found
    };
    sections.iter().map(read).collect()
}

fn run(options: &[String]) -> std::process::Output {
    #[expect(clippy::disallowed_methods, reason = "the test is no agent")]
    let output = Command::new(bench()).arg("--quick").args(options).output();
    output.unwrap()
}

fn bench() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_hiveforge-tests-bench")).to_owned()
}
