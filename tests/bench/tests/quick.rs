//! The benchmark from end to end, as far as that is not a matter of time: no figure is looked at but for its being there.

use std::path::Path;
use std::process::Command;

#[test]
fn the_benchmark_measures_every_section_and_writes_what_it_found() {
    let bench = Path::new(env!("CARGO_BIN_EXE_hiveforge-tests-bench"));
    #[expect(clippy::disallowed_methods, reason = "the test is no agent")]
    let output = Command::new(bench).arg("--quick").output().unwrap();
    let (table, words) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{table}\n{words}");
    let results = bench.ancestors().nth(2).unwrap().join("bench/quick");
    for section in ["throughput", "groups", "latency", "queue"] {
        let json = std::fs::read_to_string(results.join(format!("{section}.json"))).unwrap();
        let found: serde_json::Value = serde_json::from_str(&json).unwrap();
        for row in found["rows"].as_array().unwrap() {
            assert!(
                row["measured"].as_f64().is_some_and(|value| value >= 0.0),
                "{row}"
            );
            assert!(table.contains(row["what"].as_str().unwrap()), "{row}");
        }
    }
}
