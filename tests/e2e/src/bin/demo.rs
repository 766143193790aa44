//! `make demo`: see `hiveforge_tests_e2e::demo`.

use std::process::ExitCode;

use hiveforge_tests_e2e::demo;

fn main() -> ExitCode {
    match demo::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nNot as promised: {error:#}");
            ExitCode::FAILURE
        }
    }
}
