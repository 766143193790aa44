//! The standing of all primaries together, from what each said of itself.

use super::examine::Found;
use crate::Standing;

/// Characters of a run id that tell one process from another.
const RUN_ID_CHARS: usize = 12;

/// Sums up what was found, with how many replicas commits wait for there.
pub(super) fn of(found: &[(Found, u32)], short_replications: u64) -> Standing {
    let era = |run_id: &str| run_id.chars().take(RUN_ID_CHARS).collect::<String>();
    let eras: Vec<String> = found.iter().map(|(found, _)| era(&found.run_id)).collect();
    let mut warnings: Vec<String> = found.iter().flat_map(|(found, _)| found.warnings()).collect();
    warnings.sort_unstable();
    warnings.dedup();
    let fullest = found.iter().filter_map(|(found, _)| found.room());
    Standing {
        description: match found {
            [] => "redis".to_owned(),
            [(one, _)] => one.description(),
            [(one, _), ..] => format!(
                "{}; one of {} primaries of a cluster",
                one.description(),
                found.len()
            ),
        },
        durability: found.first().map_or_else(
            || "not known".to_owned(),
            |(found, waits_for)| found.durability(*waits_for),
        ),
        era: eras.join("+"),
        short_replications,
        room: fullest.max_by_key(|room| u128::from(room.used) * 1_000 / u128::from(room.max)),
        warnings,
        unfit: None,
    }
}

/// Of a store that must not be used.
pub(super) fn unfit(why: &str, short_replications: u64) -> Standing {
    Standing {
        unfit: Some(why.to_owned()),
        ..of(&[], short_replications)
    }
}
