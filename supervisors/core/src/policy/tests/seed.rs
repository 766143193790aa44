//! Where the randomness of tests comes from.
//!
//! `HIVEFORGE_SEED` repeats an earlier run; every run prints the seed that it had.

use std::hash::{BuildHasher as _, RandomState};

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// So many cases from a seed that is printed.
pub(crate) fn cases(n: u32) -> ProptestConfig {
    let seed = match std::env::var("HIVEFORGE_SEED") {
        Ok(seed) => seed.parse().expect("HIVEFORGE_SEED is a number"),
        Err(_) => RandomState::new().hash_one("seed"),
    };
    eprintln!("HIVEFORGE_SEED={seed}");
    ProptestConfig {
        cases: n,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
