//! Part C: jobs that do not succeed, seen by the API as typed causes and by the command line as exit codes.

use std::time::Instant;

use anyhow::{Result, ensure};
use domain::job::StateName;
use domain::{Cause, JobId};
use protocol::jobs::JobView;
use rustix::process::Signal;

use super::page::say;
use crate::{System, command, eventually, of_job};

/// Why the cancelled job is cancelled.
const REASON: &str = "not needed any more";

/// One after the other.
pub(super) fn run(system: &System) -> Result<()> {
    fails(system)?;
    times_out(system)?;
    are_cancelled(system)
}

fn fails(system: &System) -> Result<()> {
    let argv = ["sh", "-c", "echo cannot go on >&2; exit 3"];
    ends_with(system, &argv, None, &Cause::Exit { code: 3 }, 3)
}

fn times_out(system: &System) -> Result<()> {
    ends_with(system, &["sleep", "600"], Some("300ms"), &Cause::Timeout, 124)
}

/// Submits by the API and runs by the command line: both must tell the same end.
fn ends_with(system: &System, argv: &[&str], timeout: Option<&str>, cause: &Cause, code: i32) -> Result<()> {
    let api = system.api();
    let mut spec = command(argv);
    let mut arguments = vec!["run"];
    if let Some(timeout) = timeout {
        spec.timeout = timeout.parse()?;
        arguments.extend(["--timeout", timeout]);
    }
    let job = api.submit(&spec)?;
    let view = api.ended(&job)?;
    ensure!(
        view.state == StateName::Failed && view.cause.as_ref() == Some(cause),
        "`{}` is {} with {:?}, not failed with {cause:?}",
        argv.join(" "),
        view.state,
        view.cause
    );
    arguments.push("--");
    arguments.extend(argv);
    let finished = system.cli.run(&arguments)?;
    ensure!(
        finished.code == Some(code),
        "`hiveforge run -- {}` exits with {:?}, not {code}: {}",
        argv.join(" "),
        finished.code,
        finished.stderr()
    );
    say(&format!(
        "`{}`: failed, {cause}; `hiveforge run` exits with {code}",
        argv.join(" ")
    ));
    Ok(())
}

/// A job that is cancelled by command, and one whose `hiveforge run` gets a Ctrl-C. An agent learns of cancels when it
/// renews its leases, of both at once.
fn are_cancelled(system: &System) -> Result<()> {
    let api = system.api();
    let before = api.all()?;
    let run = system.cli.start(["run", "--", "sleep", "600"])?;
    let interrupted = eventually("the job of `hiveforge run` runs", || {
        let all = api.all()?;
        let new = all
            .into_values()
            .find(|view| !before.contains_key(&view.id) && is_running(view));
        Ok(new.map(|view| view.id))
    })?;
    let cancelled = api.submit(&command(&["sleep", "600"]))?;
    api.until(&cancelled, "runs", is_running)?;

    let asked_at = Instant::now();
    system
        .cli
        .ok(["job", "cancel", &cancelled.to_string(), "--reason", REASON])?;
    run.signal(Signal::INT)?;
    let view = is_cancelled(system, &cancelled)?;
    let reason = view.cancel.as_ref().and_then(|cancel| cancel.reason.as_deref());
    ensure!(reason == Some(REASON), "the reason of the cancel is {reason:?}");
    say(&format!(
        "`sleep 600` and `hiveforge job cancel`: cancelled, its process is gone ({})",
        since(asked_at)
    ));
    let finished = run.finish()?;
    ensure!(
        finished.code == Some(130),
        "after Ctrl-C `hiveforge run` exits with {:?}",
        finished.code
    );
    is_cancelled(system, &interrupted)?;
    say(&format!(
        "`hiveforge run -- sleep 600` and Ctrl-C: cancelled, exit code 130 ({})",
        since(asked_at)
    ));
    Ok(())
}

fn is_running(view: &JobView) -> bool {
    view.state == StateName::Running
}

fn is_cancelled(system: &System, job: &JobId) -> Result<JobView> {
    let view = system.api().ended(job)?;
    ensure!(
        view.state == StateName::Cancelled,
        "the job is {}: {:?}",
        view.state,
        view.cause_text
    );
    ensure!(of_job(job)?.is_empty(), "the cancelled job still runs");
    Ok(view)
}

fn since(instant: Instant) -> String {
    format!("{:.1} s", instant.elapsed().as_secs_f64())
}
