//! Whether Redis is installed, and what a test does where it is not.

use std::env;
use std::path::PathBuf;

/// The program that is looked for in `PATH`.
const PROGRAM: &str = "redis-server";

/// Says whether there is a Redis to test with, and prints the reason where a test is skipped for want of it.
///
/// # Panics
/// It is missing and `CI=true` promises that everything is installed.
pub fn redis_or_skip() -> bool {
    if find().is_some() {
        return true;
    }
    let is_ci = env::var_os("CI").is_some_and(|value| value == "true");
    assert!(
        !is_ci,
        "{PROGRAM} is missing and CI=true: install it, see .ci/setup"
    );
    println!("skipped: {PROGRAM} is not in PATH; install it, see .ci/setup");
    false
}

/// Where the program is.
pub(crate) fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(PROGRAM))
        .find(|file| file.is_file())
}
