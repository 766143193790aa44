//! The matrix: all cells of all actors, a few at a time, and the table of their verdicts.
//!
//! Each cell has a runtime and a world of its own. `HIVEFORGE_CELL=agent/poller:hang` runs one of them, a part of a
//! name as many as it fits; `RUST_LOG=warn` then shows what the actors say. Nothing in a cell is random but ids.

use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use supervision::Place;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::cell::Cell;
use crate::column::Column;
use crate::nexus::Calls;
use crate::scenario;
use crate::treatment::Treatment;
use crate::world::{Plan, World};

/// Chooses cells.
pub const FILTER: &str = "HIVEFORGE_CELL";
/// Cells at the same time. They wait most of the time.
const AT_ONCE: usize = 6;
/// Threads of one cell: one may be blocked, and everybody else goes on.
const THREADS: usize = 3;
/// How long one cell may take in all.
const CELL_MAX: Duration = Duration::from_secs(90);
/// How long what a cell left on its runtime may take to end.
const LEFT_MAX: Duration = Duration::from_secs(2);

/// What became of a cell.
#[derive(Debug)]
pub enum Verdict {
    /// All was well, after so long.
    Good(Duration),
    /// It means nothing, for this reason.
    NotApplicable(&'static str),
    /// It was not; the evidence.
    Failed(String),
    /// It was not asked for.
    NotChosen,
}

/// All verdicts, by actor in the order of the trees.
#[derive(Debug)]
pub struct Matrix(Vec<(String, Vec<Verdict>)>);

/// Runs the whole matrix, or what `filter` chooses of it.
///
/// # Errors
/// An actor has no treatment, or a treatment no actor.
pub fn run(filter: Option<&str>) -> Result<Matrix> {
    let rows = treatments()?;
    let chosen = |cell: &Cell| filter.is_none_or(|filter| cell.to_string().contains(filter));
    let all = rows
        .iter()
        .flat_map(|row| Column::ALL.map(|column| Cell { row: *row, column }));
    let cells: Vec<Cell> = all
        .filter(|cell| cell.row.not_applicable(cell.column).is_none() && chosen(cell))
        .collect();
    ensure!(
        !cells.is_empty(),
        "{FILTER}={} chooses no cell",
        filter.unwrap_or_default()
    );
    let mut done = judge_all(&cells);
    let mut verdict = |row: &Treatment, column| {
        let cell = Cell { row: *row, column };
        match row.not_applicable(column) {
            Some(reason) => Verdict::NotApplicable(reason),
            None => done
                .iter()
                .position(|(name, _)| *name == cell.to_string())
                .map_or(Verdict::NotChosen, |at| done.swap_remove(at).1),
        }
    };
    let rows = rows.iter().map(|row| {
        let verdicts = Column::ALL.map(|column| verdict(row, column));
        (row.actor.to_owned(), Vec::from(verdicts))
    });
    Ok(Matrix(rows.collect()))
}

/// The treatments of all places of both trees, in their order.
fn treatments() -> Result<Vec<Treatment>> {
    let places = Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let plan = Plan {
                calls: Calls::Commits,
                handling_max: None,
            };
            let world = World::start(plan).await?;
            let places = world.places().cloned().collect::<Vec<Place>>();
            world.end().await?;
            anyhow::Ok(places)
        })
        .context("list the actors")?;
    let row = |place: &Place| {
        let path = place.path.as_str();
        Treatment::of(path)
            .ok_or_else(|| anyhow!("{path} has no treatment: add a row to tests/faults/src/treatment.rs"))
    };
    let rows = places.iter().map(row).collect::<Result<Vec<_>>>()?;
    for actor in Treatment::actors() {
        let there = places.iter().any(|place| place.path.as_str() == actor);
        ensure!(there, "{actor} has a treatment, but is in no tree");
    }
    Ok(rows)
}

fn judge_all(cells: &[Cell]) -> Vec<(String, Verdict)> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(cells.len()) {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = judge(cell);
                    if let Verdict::Failed(why) = &verdict {
                        eprintln!("{cell} FAILED: {why}");
                    }
                    done.lock()
                        .expect("nobody panics with it")
                        .push((cell.to_string(), verdict));
                }
            });
        }
    });
    done.into_inner().expect("nobody panicked with it")
}

fn judge(cell: &Cell) -> Verdict {
    let began_at = Instant::now();
    let lived = catch_unwind(AssertUnwindSafe(|| -> Result<()> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()?;
        let lived = runtime.block_on(async { timeout(CELL_MAX, scenario::live_through(cell)).await });
        runtime.shutdown_timeout(LEFT_MAX);
        lived.unwrap_or_else(|_late| Err(anyhow!("it takes longer than {CELL_MAX:?}")))
    }));
    match lived {
        Ok(Ok(())) => Verdict::Good(began_at.elapsed()),
        Ok(Err(error)) => Verdict::Failed(format!("{error:#}")),
        Err(_) => Verdict::Failed("the test itself panicked; its words are above".to_owned()),
    }
}

impl Matrix {
    /// The cells that failed, each with its evidence.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (actor, verdicts) in &self.0 {
            for (column, verdict) in Column::ALL.iter().zip(verdicts) {
                if let Verdict::Failed(why) = verdict {
                    failures.push(format!("{actor}:{column}: {why}"));
                }
            }
        }
        failures
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: Vec<&str> = Vec::new();
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let columns = Column::ALL.iter().map(ToString::to_string);
        table.set_header(["actor".to_owned()].into_iter().chain(columns));
        for (actor, verdicts) in &self.0 {
            let words = verdicts.iter().map(|verdict| match verdict {
                Verdict::Good(took) => format!("ok {:.1}s", took.as_secs_f64()),
                Verdict::Failed(_) => "FAILED".to_owned(),
                Verdict::NotChosen => "-".to_owned(),
                Verdict::NotApplicable(reason) => {
                    let known = reasons.iter().position(|known| known == reason);
                    let number = known.unwrap_or_else(|| {
                        reasons.push(reason);
                        reasons.len() - 1
                    });
                    format!("n/a ({})", number + 1)
                }
            });
            let words: Vec<String> = words.collect();
            table.add_row([actor.clone()].into_iter().chain(words));
        }
        let mut text = format!("{table}\n");
        for (index, reason) in reasons.iter().enumerate() {
            writeln!(text, "({}) {reason}", index + 1)?;
        }
        f.write_str(&text)
    }
}
