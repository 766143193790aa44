//! What the disk is told before an upload is acknowledged, read from the system calls of a test of its own.
//!
//! No test can pull the plug, but the order of the calls decides what a power loss leaves. The trace needs strace(1);
//! without it the test says why it is skipped, but never in CI.

use std::process::{Command, Output};

/// The test whose calls are traced: it uploads the same content twice.
const TRACED: &str = "uploads::the_same_content_twice_is_stored_once";

#[expect(
    clippy::disallowed_methods,
    reason = "strace(1) is outside of what the executor runs"
)]
fn trace() -> std::io::Result<Output> {
    let this = std::env::current_exe()?;
    let calls = [
        "-f",
        "-y",
        "-qq",
        "-e",
        "trace=fsync,renameat2",
        "-e",
        "signal=none",
    ];
    Command::new("strace")
        .args(calls)
        .arg(this)
        .args(["--exact", TRACED])
        .output()
}

/// What a line of the trace did, in a word; `None` for what other code did.
fn step(line: &str) -> Option<&'static str> {
    let failed = line.contains("EEXIST");
    let is_file = line.contains("/tmp/upload-");
    let is_shard = line.contains("/blobs/");
    if line.contains("fsync(") && is_file {
        return Some("sync file");
    }
    if line.contains("renameat2(") && line.contains("RENAME_NOREPLACE") && is_file {
        return Some(if failed { "name is taken" } else { "name file" });
    }
    (line.contains("fsync(") && is_shard).then_some("sync directory")
}

#[test]
fn an_upload_is_acknowledged_after_its_file_and_its_name_are_on_the_disk_also_the_second_time() {
    let output = match trace() {
        Ok(output) if output.status.success() => output,
        failed => {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI must have strace: {failed:?}"
            );
            eprintln!("skipped, strace cannot run: {failed:?}");
            return;
        }
    };
    let trace = String::from_utf8(output.stderr).unwrap();
    let steps: Vec<_> = trace.lines().filter_map(step).collect();
    let first = ["sync file", "name file", "sync directory"];
    let second = ["sync file", "name is taken", "sync directory"];
    assert_eq!(steps, [first, second].concat(), "{trace}");
}
