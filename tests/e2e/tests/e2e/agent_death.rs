//! `kill -9` of an agent: what it ran dies with it, and its successor says so at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use domain::job::StateName;
use domain::{Cause, JobId, JobSpec};
use hiveforge_tests_e2e::{Kind, System, eventually, of_attempt, script};

/// The first attempt starts a process in a group of its own and hangs; the second one does its work.
const HANGS_ONCE: &str = "if [ $HIVEFORGE_ATTEMPT = 1 ]; then sleep 600 & sleep 601; fi; echo second";
/// A lease lives for 30 s. What is faster than this did not wait for its end.
const FASTER_THAN: Duration = Duration::from_secs(15);

#[test]
fn the_successor_reports_the_death_and_the_last_attempt_fails_with_it() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &[])?;
    let job = killed_in_the_middle(&mut system, 1)?;
    let view = system.api().ended(&job)?;
    assert_eq!(
        (view.state, view.cause, view.attempt),
        (StateName::Failed, Some(Cause::AgentDied), 1)
    );
    nothing_is_left(&system, &job)?;
    let exit = system.cli.run(["job", "show", &job.to_string()])?;
    assert!(exit.stdout().contains("the agent died"), "{}", exit.stdout());
    system.finish()?.all_ended_once()
}

#[test]
fn with_an_attempt_left_the_job_is_tried_again_at_once() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &[])?;
    let job = killed_in_the_middle(&mut system, 2)?;
    let view = system.api().ended(&job)?;
    assert_eq!(
        (view.state, view.attempt, view.charged),
        (StateName::Succeeded, 2, 2)
    );
    assert_eq!(view.attempts[0].cause, Some(Cause::AgentDied));
    assert_eq!(system.api().log(&job, 2)?, "second\n");
    nothing_is_left(&system, &job)?;
    system.finish()?.all_ended_once()
}

#[test]
fn the_job_of_an_agent_that_never_comes_back_goes_to_another_one_after_its_lease() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &["--lease-ttl", "3s"])?;
    let job = start_hanging(&mut system, 2)?;
    system.start_agent("b", &[])?;
    system.until_agents(2)?;
    system.kill_agent("a")?;
    let view = system.api().ended(&job)?;
    assert_eq!((view.state, view.attempt), (StateName::Succeeded, 2));
    assert_eq!(view.attempts[0].cause, Some(Cause::LeaseLost));
    assert_eq!(view.attempts[1].agent.as_str(), "b");

    // It comes back all the same, much too late: it clears up and changes nothing.
    system.start_agent("a", &[])?;
    eventually("what the dead agent left is gone", || {
        Ok((of_attempt(&job, 1)?.is_empty() && system.work_dirs("a")?.is_empty()).then_some(()))
    })?;
    assert_eq!(system.api().job(&job)?.attempts, view.attempts);
    system.finish()?.all_ended_once()
}

/// Kills agent `a` in the middle of a job and starts it again. Fails if the attempt's end takes as long as a lease.
fn killed_in_the_middle(system: &mut System, max_attempts: u32) -> Result<JobId> {
    let job = start_hanging(system, max_attempts)?;
    let killed_at = Instant::now();
    system.kill_agent("a")?;
    system.start_agent("a", &[])?;
    system.api().until(&job, "is rid of its first attempt", |view| {
        view.state != StateName::Running || view.attempt > 1
    })?;
    let took = killed_at.elapsed();
    assert!(took < FASTER_THAN, "{took:?}");
    Ok(job)
}

/// Starts agent `a` with a job that hangs in its first attempt, and waits until it does.
fn start_hanging(system: &mut System, max_attempts: u32) -> Result<JobId> {
    system.start_agent("a", &[])?;
    let job = system.api().submit(&JobSpec {
        max_attempts,
        ..script("hangs once", HANGS_ONCE)
    })?;
    eventually("both processes of the first attempt run", || {
        let sleeping = of_attempt(&job, 1)?
            .into_iter()
            .filter(|found| found.command.starts_with("sleep 60"));
        Ok((sleeping.count() == 2).then_some(()))
    })?;
    Ok(job)
}

fn nothing_is_left(system: &System, job: &JobId) -> Result<()> {
    assert_eq!(of_attempt(job, 1)?, []);
    let directories = system.work_dirs("a")?;
    assert!(!directories.contains(&format!("{job}.1")), "{directories:?}");
    Ok(())
}
