//! Part B: one simulation for each of 200 parameters, all submitted at once, and the best of them as the answer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use domain::JobSpec;
use domain::job::StateName;
use domain::spec::Input;

use super::page::say;
use crate::{System, command};

const SIMULATION: &[u8] = include_bytes!("../../../demo-inputs/study/simulate.awk");
/// Parameters 1 to this.
const PARAMETERS: u32 = 200;
/// What `tests/demo-inputs/study/README.md` derives.
const ANSWER: Row = Row {
    parameter: 70,
    damping: "0.70",
    settled: "2.89",
};
/// Every so many rows of the table are printed.
const SHOWN_EVERY: usize = 25;
/// How long the study may take.
const STUDY_MAX: Duration = Duration::from_secs(60);

/// One result, its numbers as they were printed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row<'a> {
    parameter: u32,
    damping: &'a str,
    settled: &'a str,
}

/// Submits, waits, collects, answers.
pub(super) fn run(system: &System) -> Result<()> {
    let api = system.api();
    let digest = api.store(SIMULATION)?;
    let specs: Vec<JobSpec> = (1..=PARAMETERS)
        .map(|parameter| {
            let mut spec = command(&["awk", "-v", &format!("i={parameter}"), "-f", "simulate.awk"]);
            spec.name = Some(format!("damper {parameter}"));
            spec.inputs.insert(
                "simulate.awk".to_owned(),
                Input {
                    digest,
                    executable: false,
                },
            );
            spec
        })
        .collect();
    let began_at = Instant::now();
    let jobs = api.submit_batch(&specs)?;
    say(&format!("submitted {} jobs with one request", jobs.len()));
    let ended = api.all_ended(&jobs, STUDY_MAX)?;
    let took = began_at.elapsed().as_secs_f64();
    let failed = ended.values().find(|view| view.state != StateName::Succeeded);
    ensure!(failed.is_none(), "a simulation did not succeed: {failed:?}");
    say(&format!(
        "all ended after {took:.2} s, {:.0} jobs a second",
        f64::from(PARAMETERS) / took
    ));

    let logs: Vec<String> = jobs
        .iter()
        .map(|job| Ok(api.log(job, 1)?))
        .collect::<Result<_>>()?;
    let table: Vec<Row<'_>> = logs.iter().map(|log| row(log)).collect::<Result<_>>()?;
    let in_order = table
        .iter()
        .zip(1..)
        .all(|(row, parameter)| row.parameter == parameter);
    ensure!(in_order, "a job has the result of another one");
    print_extract(&table);
    let best = best_of(&table)?;
    ensure!(*best == ANSWER, "the best is {best:?}, not {ANSWER:?}");
    say(&format!(
        "the answer: damping ratio {} settles soonest, after {}",
        best.damping, best.settled
    ));
    Ok(())
}

fn row(line: &str) -> Result<Row<'_>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    match fields.as_slice() {
        [parameter, damping, settled] => Ok(Row {
            parameter: parameter.parse()?,
            damping,
            settled,
        }),
        _ => anyhow::bail!("`{line}` is no result of the simulation"),
    }
}

fn best_of<'a>(table: &'a [Row<'a>]) -> Result<&'a Row<'a>> {
    let by_time = |row: &&Row<'_>| {
        row.settled
            .parse::<f64>()
            .map_or(u64::MAX, |time| (time * 100.0).round() as u64)
    };
    table.iter().min_by_key(by_time).context("the table is empty")
}

fn print_extract(table: &[Row<'_>]) {
    say("  i    z  settled after");
    for row in table.iter().skip(SHOWN_EVERY - 1).step_by(SHOWN_EVERY) {
        say(&format!(
            "{:>3} {:>4} {:>14}",
            row.parameter, row.damping, row.settled
        ));
    }
}
