//! Rows of the table, and the same as JSON: `<target directory>/bench/<section>.json`.

use std::fs;
use std::path::PathBuf;
use std::thread::available_parallelism;

use anyhow::Context as _;
use serde::Serialize;

use crate::sample::Sample;

/// What belongs together.
#[derive(Serialize)]
pub(crate) struct Section {
    /// Names the JSON file.
    pub(crate) name: &'static str,
    /// What was done, in one line.
    pub(crate) what: String,
    /// In the order of the table.
    pub(crate) rows: Vec<Row>,
}

/// One thing that was measured, in each round or for each job.
#[derive(Serialize)]
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    /// What is compared with the target: the median, if nothing else is said.
    measured: f64,
    /// The value of the quietest moment.
    best: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
    sample: Sample,
}

/// What was to be reached.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Row {
    /// Something of which less is better: the best is the minimum.
    pub(crate) fn cost(what: impl Into<String>, unit: &'static str, sample: Sample) -> Self {
        let (measured, best) = (sample.median(), sample.min());
        Self {
            what: what.into(),
            unit,
            measured,
            best,
            target: None,
            met: None,
            sample,
        }
    }

    /// Something of which more is better: the best is the maximum.
    pub(crate) fn yields(what: impl Into<String>, unit: &'static str, sample: Sample) -> Self {
        let best = sample.max();
        Self {
            best,
            ..Self::cost(what, unit, sample)
        }
    }

    /// Another figure than the median.
    pub(crate) fn measured(self, figure: f64) -> Self {
        Self {
            measured: figure,
            ..self
        }
    }

    pub(crate) fn target(self, target: Target) -> Self {
        let met = match target {
            Target::AtLeast(limit) => self.measured >= limit,
            Target::AtMost(limit) => self.measured <= limit,
        };
        Self {
            target: Some(target),
            met: Some(met),
            ..self
        }
    }

    fn line(&self) -> String {
        let Self {
            what,
            unit,
            measured,
            best,
            ..
        } = self;
        let target = match self.target {
            None => String::new(),
            Some(Target::AtLeast(limit)) => format!(">= {}", figure(limit)),
            Some(Target::AtMost(limit)) => format!("<= {}", figure(limit)),
        };
        let verdict = match self.met {
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        let line = format!(
            "| {what:<58} | {:>9} | {:>9} | {unit:<8} | {target:>8} | {verdict:<6} |",
            figure(*measured),
            figure(*best)
        );
        line
    }
}

/// Three digits that matter.
fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Prints sections and keeps them.
pub(crate) struct Report {
    directory: PathBuf,
}

impl Report {
    /// Keeps its files in this directory.
    pub(crate) fn new(directory: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        Ok(Self { directory })
    }

    /// Prints what kind of machine this is, and how busy with other things.
    pub(crate) fn head(&self) -> anyhow::Result<()> {
        let system = rustix::system::uname();
        let kernel = system.release().to_string_lossy();
        let load = fs::read_to_string("/proc/loadavg")?;
        let load = load.split_whitespace().next().unwrap_or_default();
        println!(
            "{} cpus, Linux {kernel}, load {load} before the start",
            available_parallelism()?
        );
        Ok(())
    }

    /// Prints a section as soon as it is measured, and writes its file.
    pub(crate) fn section(&self, section: &Section) -> anyhow::Result<()> {
        println!("\n{}: {}\n", section.name, section.what);
        println!(
            "| {:<58} | {:>9} | {:>9} | {:<8} | {:>8} | {:<6} |",
            "", "measured", "best", "unit", "target", ""
        );
        println!(
            "|{:-<60}|{:->10}:|{:->10}:|{:-<10}|{:->9}:|{:-<8}|",
            "", "", "", "", "", ""
        );
        for row in &section.rows {
            println!("{}", row.line());
        }
        let path = self.directory.join(format!("{}.json", section.name));
        fs::write(&path, serde_json::to_vec_pretty(section)?).with_context(|| path.display().to_string())
    }

    pub(crate) fn foot(&self) {
        println!(
            "\n`measured` is the median of all rounds or jobs, unless the row says otherwise; `best` is that of the"
        );
        println!("quietest moment. All values: {}/*.json", self.directory.display());
    }
}
