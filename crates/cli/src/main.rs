//! The `hiveforge` program.
//!
//! Everything is in the library beside it, so that tests can see it; this file only hands over the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hiveforge_cli::main()
}
