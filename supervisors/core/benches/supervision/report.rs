//! Rows of the table: the median of all rounds, the lowest and the highest round, and whether the target is met.

use std::thread::available_parallelism;

/// What belongs together.
pub(crate) struct Section {
    /// What was done, in one line.
    pub(crate) what: String,
    /// In the order of the table.
    pub(crate) rows: Vec<Row>,
}

/// One figure of each round.
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    rounds: Vec<f64>,
    target: Option<Target>,
}

/// What the median has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, rounds: Vec<f64>) -> Self {
        Self {
            what: what.into(),
            unit,
            rounds,
            target: None,
        }
    }

    pub(crate) fn target(self, target: Target) -> Self {
        Self {
            target: Some(target),
            ..self
        }
    }

    fn line(&self) -> String {
        let [median, low, high] = [0.5, 0.0, 1.0].map(|part| quantile(&self.rounds, part));
        let (target, met) = match self.target {
            None => (String::new(), None),
            Some(Target::AtLeast(limit)) => (format!(">= {}", figure(limit)), Some(median >= limit)),
            Some(Target::AtMost(limit)) => (format!("<= {}", figure(limit)), Some(median <= limit)),
        };
        let verdict = match met {
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        let [median, low, high] = [median, low, high].map(figure);
        let Self { what, unit, .. } = self;
        format!(
            "| {what:<52} | {median:>8} | {low:>8} | {high:>8} | {unit:<5} | {target:>7} | {verdict:<6} |"
        )
    }
}

/// Prints what kind of machine this is, and how busy with other things.
pub(crate) fn head() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let cpus = available_parallelism().map_or(0, usize::from);
    println!("{cpus} cpus, load {load} before the start; median, lowest and highest round");
}

/// Prints a section.
pub(crate) fn print(name: &str, section: &Section) {
    println!("\n{name}: {}\n", section.what);
    println!(
        "| {:<52} | {:>8} | {:>8} | {:>8} | {:<5} | {:>7} | {:<6} |",
        "", "measured", "lowest", "highest", "unit", "target", ""
    );
    println!(
        "|{:-<54}|{:->9}:|{:->9}:|{:->9}:|{:-<7}|{:->8}:|{:-<8}|",
        "", "", "", "", "", "", ""
    );
    for row in &section.rows {
        println!("{}", row.line());
    }
}

/// Returns the value that this part of all values does not exceed.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Three digits that matter.
fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
