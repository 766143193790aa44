//! What is in the program that users get: nothing that lets faults be injected.

use std::process::Command;

/// The features of everything that `cargo build` with these arguments would put together.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo is asked, and no agent forks here"
)]
fn features(arguments: &[&str]) -> String {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p} [{f}]",
        ])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    let words = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{words}");
    String::from_utf8(tree.stdout).expect("cargo writes text")
}

/// Packages of ours that have the feature.
fn with_faults(features: &str) -> Vec<&str> {
    let has_it = |line: &&str| {
        let listed = line
            .rsplit_once('[')
            .map_or("", |(_, listed)| listed.trim_end_matches(']'));
        listed
            .split(',')
            .any(|feature| feature == "faults" || feature == "failpoints")
    };
    features.lines().filter(has_it).collect()
}

#[test]
fn the_program_of_a_release_has_no_way_to_inject_faults() {
    assert_eq!(with_faults(&features(&["--package", "hiveforge-cli"])), [""; 0]);
    let drills = features(&["--package", "hiveforge-cli", "--features", "faults"]);
    let named = |name: &str| with_faults(&drills).iter().any(|line| line.starts_with(name));
    for package in [
        "hiveforge-cli",
        "hiveforge-coordinator",
        "hiveforge-agent",
        "hiveforge-supervisors-core",
    ] {
        assert!(
            named(package),
            "{package} is not reached by the feature:\n{drills}"
        );
    }
}

/// `make demo` and `make bench` build several packages at once, whose features are put together.
#[test]
fn what_is_built_from_the_root_without_options_has_none_either() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    assert_eq!(with_faults(&features(&["--manifest-path", root])), [""; 0]);
}
