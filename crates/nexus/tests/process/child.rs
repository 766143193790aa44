//! This binary as another process: how it is started, and how it learns which file to work on.
//!
//! A child is an ignored test, so that nobody runs it by accident, and it is told its database by the environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names the database for a child.
const DATABASE: &str = "HIVEFORGE_TEST_DATABASE";

/// The arguments that run one ignored test, and nothing else, with its output as it comes.
fn arguments(test: &str) -> [&str; 5] {
    [test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]
}

/// The ignored test as a process.
#[expect(clippy::disallowed_methods, reason = "a test starts no jobs")]
pub(crate) fn command(test: &str, database: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(arguments(test))
        .env(DATABASE, database)
        .stdin(Stdio::null());
    command
}

/// The ignored test as a process that a shell starts after some preparation.
#[expect(clippy::disallowed_methods, reason = "a test starts no jobs")]
pub(crate) fn command_after(program: &[&str], preparation: &str, test: &str, database: &Path) -> Command {
    let mut command = Command::new(program[0]);
    command
        .args(&program[1..])
        .arg(format!("{preparation}; exec \"$@\""))
        .arg("sh");
    command
        .arg(std::env::current_exe().unwrap())
        .args(arguments(test));
    command.env(DATABASE, database).stdin(Stdio::null());
    command
}

/// In the child: the database to work on.
pub(crate) fn database() -> PathBuf {
    PathBuf::from(std::env::var_os(DATABASE).expect("run by its parent only"))
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
