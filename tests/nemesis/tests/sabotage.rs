//! Six bugs on purpose, each of which the checker must find; and the same stories without them, in which it finds nothing.
//!
//! The bugs are fail points that no release has. Each story puts the system where the bug matters, with real processes.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use hiveforge_tests_nemesis::checker::Violation;
use hiveforge_tests_nemesis::history::{Blow, Hit, Moment, Stretch, Target};
use hiveforge_tests_nemesis::scene::{Cast, Scene, play};
use hiveforge_tests_nemesis::stage::Part;
use hiveforge_tests_nemesis::wait::{End, until};
use rustix::process::Signal;
use servers::{Flow, Proxy};

/// After the story everything ends soon, or never.
const DRAIN: Duration = Duration::from_secs(20);
/// An agent that was stopped has told the end of its run long before.
const TELLING: Duration = Duration::from_secs(2);

/// Does something to somebody for as long as `meanwhile` takes, and notes it.
fn hit(
    scene: &Scene<'_>,
    (target, blow): (Target, Blow),
    begin: impl FnOnce() -> Result<()>,
    meanwhile: impl FnOnce() -> Result<()>,
    repair: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let from = Moment::now();
    begin()?;
    meanwhile()?;
    repair()?;
    let stretch = Stretch {
        from,
        to: Moment::now(),
    };
    scene.witness.note(Hit {
        target,
        blow,
        stretch,
    });
    Ok(())
}

fn pause(span: Duration) {
    End::default().pause(span);
}

/// An agent stands still while its run ends, and tells of that when another one runs the next attempt. That its lease is
/// lost, which is the answer to its renewals, does not reach it before.
fn a_late_word(scene: &Scene<'_>) -> Result<()> {
    let part = Part {
        retries: 2,
        ..Part::lasting(Duration::from_secs(6))
    };
    let job = scene.witness.submit(&scene.client, "late", &part)?;
    let holder = scene.runs(&job, 1)?;
    until("the log is shipped", || {
        let log = scene.client.log(&job, 1).unwrap_or_default();
        Ok((!log.is_empty()).then_some(()))
    })?;
    let target = (Target::Agent(holder.plan.name.clone()), Blow::Stopped);
    let meanwhile = || {
        scene.runs(&job, 2)?;
        scene.marked(&job, "last 1 ")
    };
    let lose_answers = || {
        let links = holder.links.iter();
        links.for_each(|link| link.cut_after_next_request(b"/v1/leases/renew"));
    };
    let let_it_tell = || {
        lose_answers();
        holder.signal(Signal::CONT)?;
        let told_by = Moment::now().plus(TELLING);
        while Moment::now() < told_by {
            lose_answers();
            pause(Duration::from_millis(10));
        }
        holder.links.iter().try_for_each(Proxy::heal)
    };
    hit(
        scene,
        target,
        || holder.signal(Signal::STOP),
        meanwhile,
        let_it_tell,
    )?;
    scene.witness.drain(DRAIN)
}

/// An agent is cut off while it runs a job, which another one is given then.
fn a_cut(scene: &Scene<'_>) -> Result<()> {
    let part = Part {
        retries: 2,
        ..Part::lasting(Duration::from_secs(9))
    };
    let job = scene.witness.submit(&scene.client, "cut", &part)?;
    let holder = scene.runs(&job, 1)?;
    let target = (Target::Agent(holder.plan.name.clone()), Blow::CutOff);
    let set = |flow| holder.links.iter().for_each(|link| link.set_both(flow));
    let meanwhile = || {
        scene.runs(&job, 2)?;
        pause(Duration::from_secs(3));
        Ok(())
    };
    let begin = || {
        set(Flow::Drop);
        Ok(())
    };
    hit(scene, target, begin, meanwhile, || {
        set(Flow::Pass);
        Ok(())
    })?;
    scene.witness.drain(DRAIN)
}

/// A job waits for its time, and runs for a while then.
fn a_timer(scene: &Scene<'_>) -> Result<()> {
    let part = Part {
        later: Some(Duration::from_secs(1)),
        ..Part::lasting(Duration::from_secs(3))
    };
    scene.witness.submit(&scene.client, "later", &part)?;
    scene.witness.drain(DRAIN)
}

/// Agents wait for work, and there is some.
fn a_wake(scene: &Scene<'_>) -> Result<()> {
    // The first job makes sure that the claim is parked anew when the next one comes.
    scene.witness.probe(3)
}

/// Nobody could renew for longer than a lease lives.
fn an_outage(scene: &Scene<'_>) -> Result<()> {
    let jobs = (0..scene.hive().agents.len()).map(|nth| {
        let part = Part::lasting(Duration::from_secs(4));
        scene
            .witness
            .submit(&scene.client, &format!("outage-{nth}"), &part)
    });
    let jobs = jobs.collect::<Result<Vec<_>>>()?;
    for job in &jobs {
        scene.runs(job, 1)?;
    }
    let redis = scene.hive().nexus();
    let meanwhile = || {
        pause(Duration::from_secs(7));
        Ok(())
    };
    let target = (Target::Nexus, Blow::Killed);
    hit(scene, target, || redis.kill9(), meanwhile, || redis.restart())?;
    scene.witness.drain(DRAIN)
}

/// A coordinator dies when it has taken a job out of its lane, and has not given it to anybody.
fn a_death_at_the_take(scene: &Scene<'_>, breaks: &str) -> Result<()> {
    let coordinators = &scene.hive().coordinators;
    for one in coordinators {
        one.kill()?;
        one.start(&format!("ledger::taken=sleep(600000);{breaks}"))?;
    }
    scene.hive().until_ready()?;
    scene.witness.submit(&scene.client, "held", &Part::default())?;
    // Idle agents wait for it; by now it is taken.
    pause(Duration::from_secs(2));
    for one in coordinators {
        one.kill()?;
        one.start(breaks)?;
    }
    scene.hive().until_ready()?;
    scene.witness.drain(DRAIN)
}

/// The checker finds one of these promises broken by the bug, and nothing without it.
fn finds(promises: &[&str], play: impl Fn(bool) -> Result<Vec<Violation>> + Sync) -> Result<()> {
    if !servers::redis_or_skip() {
        return Ok(());
    }
    let (with, without) = thread::scope(|scope| {
        let without = scope.spawn(|| play(false));
        (play(true), without.join())
    });
    let (with, without) = (with?, without.expect("a story does not panic")?);
    for violation in &with {
        println!("found: {violation}");
    }
    let is_found = with.iter().any(|violation| promises.contains(&violation.promise));
    assert!(is_found, "none of {promises:?} is among {with:?}");
    assert_eq!(without, [], "without the bug");
    Ok(())
}

/// The fail point of a bug, or none.
fn when(sabotaged: bool, points: &'static str) -> &'static str {
    if sabotaged { points } else { "" }
}

#[test]
fn a_stale_finish_that_is_accepted_is_found() -> Result<()> {
    finds(&["I5"], |sabotaged| {
        let cast = Cast {
            coordinators_break: when(sabotaged, "ledger::accept_stale_finish=return"),
            ..Cast::default()
        };
        play(cast, a_late_word)
    })
}

#[test]
fn a_lease_that_is_not_fenced_is_found() -> Result<()> {
    finds(&["I7"], |sabotaged| {
        let cast = Cast {
            agents_break: when(sabotaged, "agent::no_fence=return"),
            ..Cast::default()
        };
        play(cast, a_cut)
    })
}

#[test]
fn a_timer_that_fires_twice_is_found() -> Result<()> {
    finds(&["I4", "P3", "P4"], |sabotaged| {
        let cast = Cast {
            coordinators_break: when(sabotaged, "ledger::double_timer=return"),
            ..Cast::default()
        };
        play(cast, a_timer)
    })
}

#[test]
fn a_lost_wake_up_without_a_second_look_is_found() -> Result<()> {
    finds(&["L2"], |sabotaged| {
        let cast = Cast {
            coordinators: 1,
            agents: 1,
            // An agent asks anew after a quarter of it.
            lease_ttl: Duration::from_secs(32),
            coordinators_break: if sabotaged {
                "coordinator::lose_hints=return;coordinator::no_repoll=return"
            } else {
                "coordinator::lose_hints=return"
            },
            ..Cast::default()
        };
        play(cast, a_wake)
    })
}

#[test]
fn a_reaper_without_a_grace_is_found() -> Result<()> {
    finds(&["L5"], |sabotaged| {
        let cast = Cast {
            agents: 6,
            coordinators_break: when(sabotaged, "ledger::no_grace=return"),
            ..Cast::default()
        };
        play(cast, an_outage)
    })
}

#[test]
fn a_held_job_that_is_never_returned_is_found() -> Result<()> {
    finds(&["L1"], |sabotaged| {
        let breaks = when(sabotaged, "ledger::keep_held=return");
        play(Cast::default(), |scene| a_death_at_the_take(scene, breaks))
    })
}
