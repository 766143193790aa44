//! One campaign: people work, strikes fall, everything is repaired and comes to its end, and all that was seen is judged.

use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::checker::{Violation, check};
use crate::history::History;
use crate::hive::Hive;
use crate::load::Crowd;
use crate::plan::Plan;
use crate::report::Report;
use crate::schedule::{Field, Planned, plan};
use crate::strike::carry_out;
use crate::wait::End;
use crate::witness::Witness;

/// How long everything may take to come to its end after the repair. What is over it is a violation, not an error.
const DRAIN_MAX: Duration = Duration::from_secs(90);
/// Jobs that are submitted to idle agents in the end.
const PROBES: usize = 6;

/// A campaign.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The system.
    pub hive: Plan,
    /// The seed of the strikes and of the work.
    pub seed: u64,
    /// How long strikes fall.
    pub length: Duration,
}

impl Campaign {
    /// Runs it.
    ///
    /// # Errors
    /// The system cannot be run: it does not start, or something does not come back.
    pub fn run(&self) -> Result<Report> {
        let mut hive = Hive::start(self.hive.clone()).context("start the hive")?;
        let planned = plan(self.seed, self.length, &self.field());
        eprintln!("seed {:#x}, {} strikes:", self.seed, planned.len());
        for one in &planned {
            eprintln!("{one}");
        }
        let history = self.live(&hive, &planned);
        let judged = history.map(|history| (check(&history), history));
        if judged
            .as_ref()
            .map_or(true, |(violations, _)| !violations.is_empty())
        {
            hive.keep_files();
            eprintln!(
                "the logs and files of this campaign stay in {}",
                hive.directory().display()
            );
        }
        let (violations, history) = judged.with_context(|| format!("seed {:#x}", self.seed))?;
        Ok(Report {
            seed: self.seed,
            strikes: planned.iter().map(|one| one.strike.kind()).collect(),
            history,
            violations,
        })
    }

    fn field(&self) -> Field {
        let agents = self.hive.agents.iter();
        Field {
            coordinators: self.hive.coordinators,
            agents: agents.clone().map(|agent| agent.name.clone()).collect(),
            far: agents
                .filter(|agent| agent.is_far)
                .map(|agent| agent.name.clone())
                .collect(),
            lease_ttl: self.hive.lease_ttl,
            is_long: self.hive.replica,
        }
    }

    fn live(&self, hive: &Hive, planned: &[Planned]) -> Result<History> {
        let witness = Witness::of(hive);
        let watch = End::default();
        thread::scope(|scope| {
            scope.spawn(|| witness.stalls.watch(&watch));
            let lived = self
                .work_and_strike(&witness, planned)
                .and_then(|()| witness.drain(DRAIN_MAX));
            let probed = lived.and_then(|()| witness.probe(PROBES));
            watch.come();
            probed
        })?;
        witness.collect()
    }

    fn work_and_strike(&self, witness: &Witness<'_>, planned: &[Planned]) -> Result<()> {
        let end = End::default();
        thread::scope(|scope| {
            let crowd = Crowd {
                hive: witness.hive,
                stage: &witness.stage,
                notes: &witness.notes,
                end: &end,
                seed: self.seed,
            };
            let people = crowd.begin(scope);
            let struck = strike(witness, planned);
            let repaired = struck.and_then(|()| witness.hive.until_ready());
            end.come();
            let worked: Result<Vec<()>> = people.into_iter().map(joined).collect();
            repaired?;
            worked.map(drop)
        })
    }
}

/// Carries the plan out, each strike in a thread of its own.
fn strike(witness: &Witness<'_>, planned: &[Planned]) -> Result<()> {
    let (began_at, clock) = (Instant::now(), End::default());
    thread::scope(|scope| {
        let strikes = planned.iter().map(|one| {
            clock.pause(one.at.saturating_sub(began_at.elapsed()));
            scope.spawn(|| carry_out(witness.hive, one))
        });
        let strikes: Vec<_> = strikes.collect();
        for strike in strikes {
            witness.note(joined(strike)?);
        }
        Ok(())
    })
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .map_err(|_panic| anyhow!("a thread panicked; its words are above"))?
}

/// The violations as lines.
pub fn lines(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(|violation| format!("  {violation}\n"))
        .collect()
}
