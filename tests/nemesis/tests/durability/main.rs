//! What an acknowledgement is worth: each mode of Redis suffers what it is there to survive, and what was acknowledged is
//! looked for afterwards.
//!
//! Everything goes through the real client. The table that this prints stands in `docs/operations.md`; what a mode
//! promises is asserted, what it does not promise is only counted. `HIVEFORGE_DURABILITY_ROUNDS` plays more than one
//! round of each mode, `HIVEFORGE_SEED` repeats the ids of a run.

use std::env;

use crate::mode::{Mode, Promise};
use crate::round::Toll;

mod load;
mod mode;
mod round;

const ROUNDS: &str = "HIVEFORGE_DURABILITY_ROUNDS";
const SEED: &str = "HIVEFORGE_SEED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mode_loses_more_than_it_says() {
    if !servers::redis_or_skip() {
        return;
    }
    let rounds = number(ROUNDS).unwrap_or(1);
    let seed = number(SEED).unwrap_or(1);
    println!("{SEED}={seed} {ROUNDS}={rounds}");
    println!(
        "| setting | what happens | acknowledged | lost | although promised | reported short | failed |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|");
    let mut broken = Vec::new();
    for (n, mode) in (0..).zip(Mode::all()) {
        let mut total = Toll::default();
        for round in 0..rounds {
            let toll = round::play(&mode, seed + (n * rounds + round) * 1_000_000_007)
                .await
                .unwrap();
            broken.extend(breach(&mode, &toll));
            total = total.and(toll);
        }
        println!("{}", row(&mode, &total));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is {text:?}: give a whole number")),
    )
}

/// How a toll breaks what its mode promises.
fn breach(mode: &Mode, toll: &Toll) -> Option<String> {
    let is_kept = toll.broken == 0 && (mode.promise != Promise::StopsWhenAlone || toll.failed > 0);
    (!is_kept).then(|| {
        format!(
            "{} / {}: {:?} but {toll:?}",
            mode.setting(),
            mode.event(),
            mode.promise
        )
    })
}

fn row(mode: &Mode, toll: &Toll) -> String {
    let Toll {
        acknowledged,
        lost,
        broken,
        short,
        failed,
    } = toll;
    let share = 100.0 * *lost as f64 / *acknowledged as f64;
    let (setting, event) = (mode.setting(), mode.event());
    format!(
        "| {setting} | {event} | {acknowledged} | {lost} ({share:.1} %) | {broken} | {short} | {failed} |"
    )
}

impl Toll {
    fn and(self, other: Self) -> Self {
        Self {
            acknowledged: self.acknowledged + other.acknowledged,
            lost: self.lost + other.lost,
            broken: self.broken + other.broken,
            short: self.short + other.short,
            failed: self.failed + other.failed,
        }
    }
}
