//! `kill -9` of the coordinator under load: it held nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use domain::job::StateName;
use domain::{JobId, JobSpec};
use hiveforge_tests_e2e::{Api, Kind, LIMIT, Ran, System, eventually, of_attempt, script};

/// How often it is killed.
const DEATHS: usize = 3;
/// How many jobs are acknowledged between two deaths.
const ACKNOWLEDGED_EACH: usize = 40;
const ALL_END_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn nothing_acknowledged_is_lost_and_no_run_is_disturbed() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &[])?;
    for name in ["a", "b"] {
        system.start_agent(name, &["--slots", "2"])?;
    }
    system.until_agents(2)?;
    let go = system.directory().join("go");
    let long = format!(
        "echo begins; while [ ! -e {} ]; do sleep 0.05; done; echo ends",
        go.display()
    );
    let long = system.api().submit(&script("long", &long))?;
    let runs = eventually("the long job runs", || {
        Ok(Some(of_attempt(&long, 1)?).filter(|found| !found.is_empty()))
    })?;

    let ran = Ran::new(system.directory())?;
    let spec = script("short", &ran.script());
    let over = AtomicBool::new(false);
    let acknowledged = thread::scope(|scope| -> Result<Vec<JobId>> {
        let api = system.api().clone();
        let (over, spec) = (&over, &spec);
        let (sender, receiver) = channel();
        let load = scope.spawn(move || submit_until(&api, spec, over, &sender));
        let killed = kill_and_restart(&mut system, &receiver);
        over.store(true, Ordering::Relaxed);
        let acknowledged = load.join().expect("the load panicked");
        killed.map(|()| acknowledged)
    })?;
    assert!(acknowledged.len() > DEATHS * ACKNOWLEDGED_EACH);

    let still = of_attempt(&long, 1)?;
    assert!(
        still.iter().any(|found| found.pid == runs[0].pid),
        "the running job was killed: {still:?}"
    );
    std::fs::write(&go, "")?;
    let view = system.api().ended(&long)?;
    assert_eq!((view.state, view.attempt), (StateName::Succeeded, 1));
    assert_eq!(system.api().log(&long, 1)?, "begins\nends\n");

    let ended = system.api().all_ended(&acknowledged, ALL_END_WITHIN)?;
    let wrong: Vec<_> = ended
        .values()
        .filter(|view| (view.state, view.charged) != (StateName::Succeeded, 1))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    // Those whose acknowledgement was lost may exist; they must end as well.
    eventually("every job has ended", || {
        Ok(system
            .api()
            .all()?
            .values()
            .all(|view| view.state.is_terminal())
            .then_some(()))
    })?;
    let everything: Vec<JobId> = system.api().all()?.into_keys().filter(|id| *id != long).collect();
    ran.each_once(&everything)?;
    system.finish()?.all_ended_once()
}

/// Submits one job after the other, and tells of each that was acknowledged.
fn submit_until(api: &Api, spec: &JobSpec, over: &AtomicBool, told: &Sender<()>) -> Vec<JobId> {
    let mut acknowledged = Vec::new();
    while !over.load(Ordering::Relaxed) {
        match api.submit(spec) {
            Ok(id) => {
                acknowledged.push(id);
                told.send(()).ok();
            }
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    acknowledged
}

fn kill_and_restart(system: &mut System, acknowledged: &Receiver<()>) -> Result<()> {
    for _ in 0..DEATHS {
        for _ in 0..ACKNOWLEDGED_EACH {
            acknowledged.recv_timeout(LIMIT)?;
        }
        system.kill_coordinator()?;
        system.restart_coordinator()?;
    }
    Ok(())
}
