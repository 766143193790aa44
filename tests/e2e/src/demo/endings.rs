//! Part C: three jobs that end badly, seen by the API as typed causes and by the command line as exit codes.

use anyhow::{Result, ensure};
use domain::Cause;
use domain::job::StateName;
use rustix::process::Signal;

use super::page::say;
use crate::{System, command, of_job};

/// One after the other.
pub(super) fn run(system: &System) -> Result<()> {
    fails(system)?;
    times_out(system)?;
    is_cancelled(system)?;
    is_interrupted(system)
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
    say(&format!("`{}`: failed, {cause}; `hiveforge run` exits with {code}", argv.join(" ")));
    Ok(())
}

fn is_cancelled(system: &System) -> Result<()> {
    let api = system.api();
    let job = api.submit(&command(&["sleep", "600"]))?;
    api.until(&job, "runs", |view| view.state == StateName::Running)?;
    system.cli.ok(["job", "cancel", &job.to_string(), "--reason", "not needed any more"])?;
    let view = api.ended(&job)?;
    let reason = view.cancel.as_ref().and_then(|cancel| cancel.reason.as_deref());
    ensure!(
        view.state == StateName::Cancelled && reason == Some("not needed any more"),
        "the job is {}, its cancel {:?}",
        view.state,
        view.cancel
    );
    ensure!(of_job(&job)?.is_empty(), "the cancelled job still runs");
    say("`sleep 600`: cancelled by `hiveforge job cancel`, its process is gone");
    Ok(())
}

/// Ctrl-C in front of `hiveforge run`.
fn is_interrupted(system: &System) -> Result<()> {
    let api = system.api();
    let before = api.all()?;
    let running = system.cli.start(["run", "--", "sleep", "600"])?;
    let job = crate::eventually("the job of `hiveforge run` runs", || {
        let all = api.all()?;
        let new = all.into_values().find(|view| !before.contains_key(&view.id) && view.state == StateName::Running);
        Ok(new.map(|view| view.id))
    })?;
    running.signal(Signal::INT)?;
    let finished = running.finish()?;
    ensure!(finished.code == Some(130), "after Ctrl-C `hiveforge run` exits with {:?}", finished.code);
    let view = api.job(&job)?;
    ensure!(view.state == StateName::Cancelled, "after Ctrl-C the job is {}", view.state);
    say("`hiveforge run -- sleep 600` and Ctrl-C: the job is cancelled, the exit code is 130");
    Ok(())
}
