//! Part D: `kill -9` of an agent, and why nobody waits for its lease to run out.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use domain::Cause;
use domain::job::StateName;
use protocol::jobs::JobView;

use super::page::say;
use crate::{System, eventually, of_attempt, script};

const AGENT: &str = "second";
const OPTIONS: [&str; 2] = ["--label", "role=second"];
/// The first attempt hangs, in a process that it started itself; the second one does its work.
const SCRIPT: &str =
    "if [ $HIVEFORGE_ATTEMPT = 1 ]; then sleep 600 & wait; fi; echo done in attempt $HIVEFORGE_ATTEMPT";
/// A lease lives for 30 s. What is faster than this did not wait for its end.
const FASTER_THAN: Duration = Duration::from_secs(15);

/// Starts a second agent, kills it, starts it again.
pub(super) fn run(system: &mut System) -> Result<()> {
    system.start_agent(AGENT, &OPTIONS)?;
    let mut spec = script("survivor", SCRIPT);
    spec.requires = vec!["role = second".parse()?];
    spec.max_attempts = 2;
    let job = system.api().submit(&spec)?;
    // The shell, and the `sleep` that it started.
    let doomed = eventually("the first attempt runs", || {
        let found = of_attempt(&job, 1)?;
        Ok(found
            .iter()
            .any(|process| process.command.starts_with("sleep"))
            .then_some(found))
    })?;
    let agent = system.agent(AGENT)?.pid();
    say(&format!(
        "agent `{AGENT}` (process {agent}) runs {job} in {} processes",
        doomed.len()
    ));

    let killed_at = Instant::now();
    system.kill_agent(AGENT)?;
    system.start_agent(AGENT, &OPTIONS)?;
    say(&format!("kill -9 {agent}, and a new agent on the same files"));
    let view = system.api().ended(&job)?;
    let took = killed_at.elapsed();
    check(system, &view, took)?;
    let left = of_attempt(&job, 1)?;
    ensure!(
        left.is_empty(),
        "processes of the first attempt are left: {left:?}"
    );
    let directory = format!("{job}.1");
    ensure!(
        !system.work_dirs(AGENT)?.contains(&directory),
        "the work directory {directory} is left"
    );
    say(&format!(
        "attempt 1 failed: {}; its processes and its directory are gone",
        Cause::AgentDied
    ));
    say(&format!(
        "attempt 2 succeeded, {:.2} s after the kill (a lease lives for 30 s)",
        took.as_secs_f64()
    ));
    Ok(())
}

/// Fails unless the second attempt is on record as the good one, and came soon.
fn check(system: &System, view: &JobView, took: Duration) -> Result<()> {
    ensure!(
        view.state == StateName::Succeeded && view.attempt == 2,
        "the job is {} in attempt {}: {:?}",
        view.state,
        view.attempt,
        view.cause_text
    );
    ensure!(
        took < FASTER_THAN,
        "it took {took:?}: somebody waited for the lease to run out"
    );
    let first = view
        .attempts
        .first()
        .context("the first attempt is not on record")?;
    ensure!(
        first.cause == Some(Cause::AgentDied),
        "the first attempt ended with {:?}",
        first.cause
    );
    ensure!(
        system.api().log(&view.id, 2)? == "done in attempt 2\n",
        "the log of attempt 2 is another one"
    );
    Ok(())
}
