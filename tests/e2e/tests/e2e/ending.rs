//! How `up` stops: once told it waits for what runs, twice told it does not.

use std::time::{Duration, Instant};

use anyhow::Result;
use domain::job::StateName;
use domain::{Cause, JobSpec};
use hiveforge_tests_e2e::{Kind, LIMIT, System, eventually, of_attempt, script};
use rustix::process::Signal;

/// How long a process that is told twice may take.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn told_once_it_waits_for_the_running_job_and_takes_no_other() -> Result<()> {
    let mut system = System::start(Kind::Up, &["--slots", "1"])?;
    let go = system.directory().join("go");
    let waits = script(
        "waits",
        &format!("while [ ! -e {} ]; do sleep 0.05; done; echo done", go.display()),
    );
    let running = system.api().submit(&waits)?;
    system
        .api()
        .until(&running, "runs", |view| view.state == StateName::Running)?;
    let waiting = system.api().submit(&script("waiting", "echo later"))?;

    system.coordinator()?.signal(Signal::TERM)?;
    until_logged(&mut system, "stopping once running jobs have ended")?;
    assert_eq!(system.coordinator()?.ended()?, None, "it waits");
    assert_eq!(
        system.api().job(&running)?.state,
        StateName::Running,
        "and answers meanwhile"
    );
    std::fs::write(&go, "")?;
    let status = system.coordinator()?.wait(LIMIT)?;
    assert!(status.success(), "{}", system.coordinator()?.log()?);

    system.restart_coordinator()?;
    let view = system.api().job(&running)?;
    assert_eq!((view.state, view.attempt), (StateName::Succeeded, 1));
    assert_eq!(system.api().log(&running, 1)?, "done\n");
    assert_eq!(system.api().ended(&waiting)?.state, StateName::Succeeded);
    system.finish()?.all_ended_once()
}

#[test]
fn told_twice_it_ends_at_once_and_the_next_one_carries_on() -> Result<()> {
    let mut system = System::start(Kind::Up, &["--slots", "2"])?;
    let text = "if [ $HIVEFORGE_ATTEMPT = 1 ]; then sleep 600; fi; echo $HIVEFORGE_ATTEMPT";
    let last = system.api().submit(&script("last attempt", text))?;
    let again = system.api().submit(&JobSpec {
        max_attempts: 2,
        ..script("one more attempt", text)
    })?;
    for job in [&last, &again] {
        eventually("the first attempt runs", || {
            Ok((!of_attempt(job, 1)?.is_empty()).then_some(()))
        })?;
    }
    system.coordinator()?.signal(Signal::TERM)?;
    until_logged(&mut system, "stopping once running jobs have ended")?;
    let told_at = Instant::now();
    system.coordinator()?.signal(Signal::TERM)?;
    let status = system.coordinator()?.wait(LIMIT)?;
    assert!(status.success(), "{}", system.coordinator()?.log()?);
    assert!(told_at.elapsed() < AT_ONCE, "{:?}", told_at.elapsed());
    for job in [&last, &again] {
        assert_eq!(of_attempt(job, 1)?, []);
    }

    system.restart_coordinator()?;
    let view = system.api().ended(&last)?;
    assert_eq!(
        (view.state, view.cause),
        (StateName::Failed, Some(Cause::Preempted))
    );
    let view = system.api().ended(&again)?;
    assert_eq!((view.state, view.attempt), (StateName::Succeeded, 2));
    assert_eq!(view.attempts[0].cause, Some(Cause::Preempted));
    system.finish()?.all_ended_once()
}

#[test]
fn killed_it_goes_on_where_it_was_when_it_is_started_again() -> Result<()> {
    let mut system = System::start(Kind::Up, &["--slots", "1"])?;
    let text = "if [ $HIVEFORGE_ATTEMPT = 1 ]; then sleep 600 & wait; fi; echo $HIVEFORGE_ATTEMPT";
    let job = system.api().submit(&JobSpec {
        max_attempts: 2,
        ..script("survivor", text)
    })?;
    let waiting = system.api().submit(&script("waiting", "true"))?;
    eventually("the first attempt runs", || {
        Ok((of_attempt(&job, 1)?.len() > 1).then_some(()))
    })?;
    system.kill_coordinator()?;
    system.restart_coordinator()?;
    let view = system.api().ended(&job)?;
    assert_eq!((view.state, view.attempt), (StateName::Succeeded, 2));
    assert_eq!(view.attempts[0].cause, Some(Cause::AgentDied));
    assert_eq!(of_attempt(&job, 1)?, []);
    assert_eq!(system.api().ended(&waiting)?.state, StateName::Succeeded);
    system.finish()?.all_ended_once()
}

fn until_logged(system: &mut System, words: &str) -> Result<()> {
    eventually(words, || {
        Ok(system.coordinator()?.log()?.contains(words).then_some(()))
    })
}
