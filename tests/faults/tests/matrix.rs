//! Every actor of every tree against every fault; see the crate.
//!
//! `HIVEFORGE_CELL=agent/poller:hang cargo nextest run -p hiveforge-tests-faults the_matrix` runs one cell.

use hiveforge_tests_faults::evidence;
use hiveforge_tests_faults::matrix::{self, FILTER};

#[test]
fn the_matrix_of_all_actors_and_all_faults_holds() {
    let filter = std::env::var(FILTER).ok();
    if filter.is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .init();
    }
    silence_injected_panics();
    let began_at = std::time::Instant::now();
    let matrix = matrix::run(filter.as_deref()).unwrap();
    println!("{matrix}\nin {:.0?}", began_at.elapsed());
    let failures = matrix.failures();
    assert!(
        failures.is_empty(),
        "{} cells failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    evidence::no_children().unwrap();
}

/// Panics that were asked for say nothing; all others say what they always do.
fn silence_injected_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some("injected panic") {
            usual(panic);
        }
    }));
}
