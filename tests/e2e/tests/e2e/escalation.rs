//! A bug that does not go away: the supervisors give up one after the other, the process ends and says in one line what
//! crashed, how often and why, and the next one reads everything from the nexus and the disk.
//!
//! The bug is put into the live process by `hiveforge chaos`, and into an agent by a signal, for nobody can reach it.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use domain::job::StateName;
use domain::{Cause, JobId, JobSpec};
use hiveforge_tests_e2e::{Kind, LIMIT, Ran, Role, System, batch_of, eventually, of_attempt, script};
use protocol::client::Options;
use rustix::process::Signal;
use serde::de::IgnoredAny;

/// Jobs that wait.
const JOBS: usize = 20;
/// For all jobs on a loaded machine.
const BATCH_LIMIT: Duration = Duration::from_secs(60);
/// What a process exits with that cannot serve.
const UNAVAILABLE: i32 = 69;
/// Failures of a coordinator's actors in a minute that are too many.
const TOO_MANY: usize = 11;
/// The first attempt hangs.
const HANGS_ONCE: &str = "if [ $HIVEFORGE_ATTEMPT = 1 ]; then sleep 600; fi; true";

#[test]
fn up_whose_dispatch_keeps_crashing_ends_and_the_next_one_goes_on() -> Result<()> {
    let mut system = with_faults(Kind::Up, &["--slots", "1"])?;
    let (hanging, waiting, ran) = jobs(&system)?;
    runs(&hanging)?;
    let log = crash_dispatch(&mut system)?;
    one_line(
        &log,
        "error: up stopped: coordinator: gave up: child \"dispatch\" crashed: injected panic; failure 11 within 60s, 10 allowed",
    )?;
    assert_eq!(of_attempt(&hanging, 1)?, [], "runs end with their agent");
    system.restart_coordinator()?;
    all_end(system, &hanging, &waiting, &ran)
}

#[test]
fn a_coordinator_that_gives_up_disturbs_no_run_and_its_log_reads_as_the_page_says() -> Result<()> {
    let mut system = with_faults(Kind::Coordinator, &[])?;
    system.start_agent("a", &["--slots", "1"])?;
    let (hanging, waiting, ran) = jobs(&system)?;
    runs(&hanging)?;
    let shell = of_attempt(&hanging, 1)?;
    let log = crash_dispatch(&mut system)?;
    one_line(
        &log,
        "error: coordinator stopped: gave up: child \"dispatch\" crashed: injected panic; failure 11 within 60s, 10 allowed",
    )?;
    let page = include_str!("../../../../supervisors/README.md");
    let (_, example) = page
        .split_once("## How to read an escalation")
        .context("the page has an example")?;
    let shown: Vec<&str> = example.lines().filter(|line| is_of_a_log(line)).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    let said: Vec<&str> = log.lines().map(without_time).collect();
    for line in shown {
        assert!(said.contains(&line), "no log has this line: {line}\n{log}");
    }

    system.restart_coordinator()?;
    assert_eq!(of_attempt(&hanging, 1)?, shell, "the run was disturbed");
    system.api().cancel(&hanging, "it has been seen")?;
    system.api().all_ended(&waiting, BATCH_LIMIT)?;
    ran.each_once(&waiting)?;
    system.finish()?.all_ended_once()
}

#[test]
fn an_agent_whose_poller_keeps_crashing_ends_and_the_next_one_goes_on() -> Result<()> {
    let mut system = with_faults(Kind::Coordinator, &[])?;
    let (hanging, waiting, ran) = jobs(&system)?;
    system.start_agent("a", &["--slots", "1", "--panics", "agent/poller"])?;
    runs(&hanging)?;
    system.agent("a")?.signal(Signal::USR1)?;
    let (status, log) = end_of(system.agent("a")?)?;
    assert_eq!(status.code(), Some(UNAVAILABLE), "{log}");
    one_line(
        &log,
        "error: agent stopped: gave up: child \"poller\" crashed: injected panic; failure 21 within 10s, 20 allowed",
    )?;
    assert_eq!(of_attempt(&hanging, 1)?, [], "runs end with their agent");
    system.start_agent("a", &["--slots", "1"])?;
    all_end(system, &hanging, &waiting, &ran)
}

/// A system of a build that has faults.
fn with_faults(kind: Kind, options: &[&str]) -> Result<System> {
    let system = System::start(kind, options)?;
    let help = system.cli.run(["chaos", "--help"])?;
    ensure!(
        help.code == Some(0),
        "this needs a program with faults: build it with `cargo build --workspace --bins`, without --release"
    );
    Ok(system)
}

/// A job that hangs in its first attempt, and jobs that wait behind it and say once that they ran.
fn jobs(system: &System) -> Result<(JobId, Vec<JobId>, Ran)> {
    let ran = Ran::new(system.directory())?;
    let hanging = system.api().submit(&JobSpec {
        max_attempts: 2,
        ..script("hangs once", HANGS_ONCE)
    })?;
    let waiting = system.api().submit_batch(&batch_of(JOBS, &ran.script()))?;
    Ok((hanging, waiting, ran))
}

fn runs(job: &JobId) -> Result<()> {
    eventually("the first attempt runs", || {
        Ok((!of_attempt(job, 1)?.is_empty()).then_some(()))
    })
}

/// Lets `dispatch` panic until its supervisor gives up, and returns what the process said.
fn crash_dispatch(system: &mut System) -> Result<String> {
    let panic = r#"{"path": "coordinator/dispatch", "what": "panic"}"#;
    for n in 1..=TOO_MANY {
        let asked = system
            .api()
            .post::<IgnoredAny>("/v1/chaos", panic, Options::default());
        // The last one may take the process along before it is answered.
        ensure!(asked.is_ok() || n == TOO_MANY, "{asked:?}");
    }
    let (status, log) = end_of(system.coordinator()?)?;
    assert_eq!(status.code(), Some(UNAVAILABLE), "{log}");
    let crashes = log.lines().filter(|line| line.contains("child failed"));
    assert_eq!(crashes.count(), TOO_MANY, "{log}");
    Ok(log)
}

fn end_of(role: &mut Role) -> Result<(ExitStatus, String)> {
    let status = role.wait(LIMIT)?;
    Ok((status, role.log()?))
}

/// Whoever gives up says so once, and the process says it in one line.
fn one_line(log: &str, expected: &str) -> Result<()> {
    let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors, [expected]);
    let gave_up = log.lines().filter(|line| line.contains("supervisor gave up"));
    assert_eq!(gave_up.count(), 1, "{log}");
    Ok(())
}

/// The job that hung was lost with its agent and tried again; all others ran once.
fn all_end(system: System, hanging: &JobId, waiting: &[JobId], ran: &Ran) -> Result<()> {
    let view = system.api().ended(hanging)?;
    assert_eq!((view.state, view.attempt), (StateName::Succeeded, 2));
    assert_eq!(view.attempts[0].cause, Some(Cause::AgentDied));
    let ended = system.api().all_ended(waiting, BATCH_LIMIT)?;
    let well = ended
        .values()
        .all(|view| (view.state, view.charged) == (StateName::Succeeded, 1));
    assert!(well, "{ended:?}");
    ran.each_once(waiting)?;
    system.finish()?.all_ended_once()
}

fn is_of_a_log(line: &str) -> bool {
    ["WARN ", "ERROR ", "error: "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// A line of a log without the time that it begins with.
fn without_time(line: &str) -> &str {
    match line.split_once('Z') {
        Some((time, rest)) if time.starts_with("20") => rest.trim_start(),
        _ => line,
    }
}
