//! What is promised, and where each promise is shown: the table that the report prints and `docs/nemesis.md` repeats.
//!
//! The codes are `P1` to `P8` for the promises of the blueprint, `I1` to `I22` for safety and `L1` to `L6` for liveness.
//! A promise about what does not exist yet says so.

use std::fmt;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

/// One promise.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// Its code.
    pub code: &'static str,
    /// What it says.
    pub says: &'static str,
    /// Where it is shown.
    pub shown: Shown,
}

/// Where a promise is shown.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// By this checker, in this function.
    Here(&'static str),
    /// By another suite.
    There(&'static str),
    /// Nowhere, since there is nothing to show it of.
    NotYet(&'static str),
}

use Shown::{Here, NotYet, There};

const fn promise(code: &'static str, says: &'static str, shown: Shown) -> Promise {
    Promise { code, says, shown }
}

/// All of them.
pub const PROMISES: &[Promise] = &[
    promise(
        "P3",
        "a job has at most one live lease; refused writes change nothing",
        Here("journal::attempts, runs::logs"),
    ),
    promise(
        "P4",
        "only the declared transitions exist",
        Here("journal::transitions"),
    ),
    promise(
        "P7",
        "of what a dead agent ran, nothing survives",
        Here("runs::left_over"),
    ),
    promise(
        "P8",
        "an outage is answered with `try again`, never with another refusal",
        Here("calls::refusals"),
    ),
    promise(
        "I1",
        "every acknowledged submit exists (also P1)",
        Here("calls::acknowledged"),
    ),
    promise(
        "I2",
        "the same idempotency key gives the same job, another body 409 (also P2)",
        Here("calls::keys"),
    ),
    promise(
        "I3",
        "a job has at most one terminal state, and it never changes (also P1, P5)",
        Here("journal::ends"),
    ),
    promise(
        "I4",
        "at most one attempt runs; attempts rise by 1 (also P3)",
        Here("journal::attempts, journal::seen_attempts"),
    ),
    promise(
        "I5",
        "only the holder of the current token changes a running job (also P3)",
        Here("runs::logs, runs::own_ends"),
    ),
    promise(
        "I6",
        "no end of attempt n after attempt n+1 was claimed",
        Here("journal::attempts"),
    ),
    promise(
        "I7",
        "attempts of one job do not run at once, given the agent's own fence",
        Here("runs::overlaps"),
    ),
    promise(
        "I8",
        "charged attempts stay within max_attempts; the machinery's failures are not the program's",
        Here("leases::charges"),
    ),
    promise(
        "I9",
        "what an agent claims, it satisfies the requirements of",
        Here("journal::requirements"),
    ),
    promise(
        "I10",
        "a higher priority is claimed first within one take",
        There("nexus conformance (`take`), ledger tests (`claim`)"),
    ),
    promise(
        "I11",
        "of a group, never more run than its limit",
        Here("journal::groups"),
    ),
    promise(
        "I12",
        "fair shares between submitters",
        NotYet("there is one order, by priority and age"),
    ),
    promise(
        "I13",
        "nothing is claimed before its time",
        Here("journal::requirements"),
    ),
    promise(
        "I14",
        "a dependent starts after what it needs",
        NotYet("jobs have no dependencies yet"),
    ),
    promise(
        "I15",
        "one job for each trigger and time",
        NotYet("there are no triggers yet"),
    ),
    promise(
        "I16",
        "an acknowledged cancel ends the job in time, and it is never claimed again",
        Here("journal::cancels"),
    ),
    promise(
        "I17",
        "a job's trail is without a gap and never rewritten (also P4)",
        Here("journal::trails, fsck"),
    ),
    promise(
        "I18",
        "what the API tells of a job is its part of the journal, each fact once",
        Here("journal::trails"),
    ),
    promise(
        "I19",
        "records and sets agree",
        Here("fsck over a dump of the nexus"),
    ),
    promise(
        "I20",
        "a repeated request has one effect: one job for a key, one start of an attempt",
        Here("runs::starts"),
    ),
    promise(
        "I21",
        "a transaction applies whole or not at all",
        There("nexus conformance, ledger tests (`faulty`)"),
    ),
    promise(
        "I22",
        "the store is what its log says",
        There("nexus conformance (random sequences against the reference)"),
    ),
    promise(
        "L1",
        "after the repair every job ends within a bound",
        Here("leases::drained"),
    ),
    promise(
        "L2",
        "an idle agent and a claimable job meet within a bound, hints or not",
        Here("leases::wakes"),
    ),
    promise(
        "L3",
        "a record that cannot be read delays nobody",
        There("ledger tests (`poison`)"),
    ),
    promise(
        "L4",
        "many reapers do the work of one",
        There("coordinator tests (duties of several coordinators)"),
    ),
    promise(
        "L5",
        "no agent that lives and is connected loses a lease, whatever happens to nexus and coordinators (also P6)",
        Here("leases::losses"),
    ),
    promise(
        "L6",
        "memory returns to its baseline after retention",
        NotYet("nothing is retired yet"),
    ),
];

/// The promise of a code.
///
/// # Panics
/// There is none: a check and the table disagree.
pub fn of(code: &str) -> &'static Promise {
    let found = PROMISES.iter().find(|promise| promise.code == code);
    found.unwrap_or_else(|| panic!("no promise has the code {code}"))
}

/// The table as people read it.
pub fn table() -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["code", "promise", "shown by"]);
    for promise in PROMISES {
        table.add_row([promise.code, promise.says, &promise.shown.to_string()]);
    }
    table.to_string()
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Here(function) => write!(f, "checker: {function}"),
            There(suite) => write!(f, "elsewhere: {suite}"),
            NotYet(why) => write!(f, "n/a: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_table() {
        let page = include_str!("../../../docs/nemesis.md");
        assert!(
            page.contains(&table()),
            "docs/nemesis.md should have this table:\n{}",
            table()
        );
    }
}
