//! What a campaign was and what came of it, as people read it.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use crate::checker::Violation;
use crate::history::{History, Reply, What};

/// Violations that are printed.
const SHOWN_MAX: usize = 40;

/// The result of a campaign.
#[derive(Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The kinds of its strikes, one for each.
    pub strikes: Vec<&'static str>,
    /// What was seen.
    pub history: History,
    /// What is wrong.
    pub violations: Vec<Violation>,
}

impl Report {
    fn count(&self, is_it: impl Fn(&What) -> bool) -> usize {
        self.history.facts.iter().filter(|fact| is_it(&fact.what)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for kind in &self.strikes {
            *kinds.entry(kind).or_default() += 1;
        }
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(["strike", "times"]);
        for (kind, times) in kinds {
            table.add_row([kind.to_owned(), times.to_string()]);
        }
        writeln!(f, "{table}\n")?;
        let calls = &self.history.calls;
        let unknown = calls
            .iter()
            .filter(|call| matches!(call.reply, Reply::Unknown(_)));
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header([
            "strikes",
            "jobs",
            "attempts",
            "leases taken",
            "calls",
            "unknown outcomes",
            "looks",
            "stalls",
            "violations",
        ]);
        let figures = [
            self.strikes.len(),
            self.history.jobs.len(),
            self.count(|what| matches!(what, What::Claimed { .. })),
            self.count(|what| matches!(what, What::Taken(..))),
            calls.len(),
            unknown.count(),
            self.history.sights.len(),
            self.history.stalls.len(),
            self.violations.len(),
        ];
        table.add_row(figures.map(|figure| figure.to_string()));
        writeln!(f, "{table}")?;
        for violation in self.violations.iter().take(SHOWN_MAX) {
            writeln!(f, "VIOLATION {violation}")?;
        }
        write!(f, "repeat with HIVEFORGE_SEED={:#x}", self.seed)
    }
}
