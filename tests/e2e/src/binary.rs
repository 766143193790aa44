//! The program under test: the shipped binary, built before by `make`.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// Names another program than the one beside the running one.
const VARIABLE: &str = "HIVEFORGE_BIN";

/// Finds the program: `HIVEFORGE_BIN`, or `hiveforge` in the target directory that the running program is in.
///
/// # Errors
/// It is not there; the words say how to build it.
pub fn hiveforge() -> Result<PathBuf> {
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return path
            .canonicalize()
            .with_context(|| format!("{VARIABLE} names {}", path.display()));
    }
    let running = env::current_exe().context("who am I?")?;
    let mut directory = running.parent().context("a program lies in a directory")?;
    if directory.ends_with("deps") {
        directory = directory.parent().context("deps lies in a profile's directory")?;
    }
    let path = directory.join("hiveforge");
    if !path.exists() {
        let release = if directory.ends_with("release") {
            " --release"
        } else {
            ""
        };
        bail!(
            "{} is missing: build it with `cargo build{release} -p hiveforge-cli`",
            path.display()
        );
    }
    Ok(path)
}

/// Says whether a test may be skipped for want of a right or a tool: everywhere but where everything is installed.
pub fn skips_allowed() -> bool {
    env::var_os("CI").is_none_or(|value| value != "true")
}
