//! Where tests may break the ledger off, and where they may break it: each sabotage takes one guard away, so that a test
//! can show that somebody notices. Nothing is there without the feature `faults`.

use domain::Timestamp;

/// Jobs were taken out of their lanes and are held; no lease is committed yet.
pub const TAKEN: &str = "ledger::taken";
/// The clock is off by so many milliseconds, e.g. `return(-7000)`.
#[cfg(feature = "faults")]
const CLOCK: &str = "ledger::clock";
/// Sabotage: a finish counts for whatever attempt runs.
pub(crate) const ACCEPT_STALE_FINISH: &str = "ledger::accept_stale_finish";
/// Sabotage: a timer fires once more, whatever has become of the job.
pub(crate) const DOUBLE_TIMER: &str = "ledger::double_timer";
/// Sabotage: a reaper that was away takes leases at once.
pub(crate) const NO_GRACE: &str = "ledger::no_grace";
/// Sabotage: held jobs are never returned.
pub(crate) const KEEP_HELD: &str = "ledger::keep_held";

/// Says whether a sabotage is on.
pub(crate) fn is_on(point: &'static str) -> bool {
    fail::fail_point!(point, |_| true);
    let _ = point;
    false
}

/// The time, as a clock shows it that may be off.
pub(crate) fn clock(now: Timestamp) -> Timestamp {
    fail::fail_point!(CLOCK, |offset| {
        let offset: i64 = offset.and_then(|text| text.parse().ok()).unwrap_or(0);
        Timestamp(now.as_millis().saturating_add_signed(offset))
    });
    now
}
